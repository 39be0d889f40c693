//! Where a value ends: forgotten closers, closers too many, and text that follows.

use super::edit::EditKind;
use super::reader::{Next, Reader};
use super::space::is_odd_space;
use super::string::{begins_word, is_word};
use crate::error::{CutOff, ParseError};

impl Reader<'_> {
    /// Adds the closers that were forgotten, if generation ended normally.
    fn close_all(&mut self) -> Result<Next, ParseError> {
        if !self.ended_normally() {
            return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Container });
        }
        let mut next = Next::Done;
        while self.is_open() {
            self.log(EditKind::MissingCloser, self.token_end, self.token_end);
            next = self.pop()?;
        }
        self.at = self.token_end;
        Ok(next)
    }

    /// Ends the value where the text ends.
    pub(super) fn ended_after_value(&mut self) -> Result<Next, ParseError> {
        let touches_end = self.token_end == self.bytes.len();
        if touches_end && self.last_byte().is_ascii_digit() {
            return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Number });
        }
        self.close_all()
    }

    /// Ends the value where something follows that is no JSON: a fence, a tag, or prose.
    ///
    /// That is certain only after a closer or a line break, and only if no more JSON follows in the same breath.
    pub(super) fn end_without_closers(&mut self) -> Result<Next, ParseError> {
        let unexpected = self.unexpected("a comma or a closer");
        let apart = self.bytes[self.token_end..self.at].contains(&b'\n');
        if !apart && !matches!(self.last_byte(), b'}' | b']') {
            return Err(unexpected);
        }
        let rest = &self.text[self.at..];
        let marker = ["```", "~~~", "</", "<|"].into_iter().find(|marker| rest.starts_with(marker));
        if let Some(marker) = marker {
            let next = self.close_all();
            self.log(EditKind::Fence, self.at, self.at + marker.len());
            return next;
        }
        let is_prose = rest.starts_with(begins_word)
            && !self.is_word_with_colon()
            && !rest.bytes().any(|byte| matches!(byte, b'{' | b'}' | b'[' | b']' | b'"'));
        if is_prose { self.close_all() } else { Err(unexpected) }
    }

    /// Looks past the complete value and returns where it ends.
    pub(super) fn end_of_value(&mut self) -> Result<usize, ParseError> {
        if !self.is_tolerant() {
            self.skip_space()?;
            return if self.at == self.bytes.len() { Ok(self.at) } else { Err(self.unexpected("the end of the text")) };
        }
        let mut end = self.token_end;
        loop {
            let rest = &self.text[end..];
            let trimmed = rest.trim_start_matches(is_space);
            let start = end + (rest.len() - trimmed.len());
            match trimmed.as_bytes().first() {
                Some(b'}' | b']') if !trimmed.starts_with("]]>") => {
                    self.log(EditKind::ExtraCloser, start, start + 1);
                    end = start + 1;
                }
                Some(b':') => return Err(ParseError::UnclearStructure { offset: start }),
                Some(b',') if begins_member(&trimmed[1..]) => {
                    return Err(ParseError::UnclearStructure { offset: start });
                }
                _ => return Ok(end),
            }
        }
    }

    /// Says whether a key without quotes and its colon stand at the cursor.
    pub(super) fn is_word_with_colon(&self) -> bool {
        begins_key(&self.text[self.at..])
    }

    fn last_byte(&self) -> u8 {
        self.token_end.checked_sub(1).map_or(0, |last| self.bytes[last])
    }
}

const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\n' | '\r' | '\t') || is_odd_space(character)
}

fn begins_key(text: &str) -> bool {
    text.starts_with(begins_word) && text.trim_start_matches(is_word).trim_start_matches(is_space).starts_with(':')
}

/// Says whether a text begins with a certain key, in whatever quotes, and its colon.
pub(crate) fn begins_key_of(text: &str, key: &str) -> bool {
    const QUOTES: [char; 5] = ['"', '\'', '“', '”', '\\'];
    let text = text.trim_start_matches(is_space);
    // Look no further than the key can reach, so that asking often stays cheap.
    let Some(rest) = text.trim_start_matches(QUOTES).strip_prefix(key) else {
        return false;
    };
    rest.trim_start_matches(QUOTES).trim_start_matches(is_space).starts_with([':', '：'])
}

/// How far a string or number is looked through to see what follows it, in bytes.
const MAX_LOOK: usize = 512;

/// Says whether what follows a comma after a complete value looks like more of the same data.
fn begins_member(text: &str) -> bool {
    let text = text.trim_start_matches(is_space);
    if text.starts_with(['{', '}', '[', ']']) || begins_key(text) {
        return true;
    }
    let window = &text.as_bytes()[..text.len().min(MAX_LOOK)];
    let token = match window {
        [quote @ (b'"' | b'\''), rest @ ..] => match rest.iter().position(|byte| byte == quote) {
            Some(length) => length + 2,
            None => return text.len() > MAX_LOOK,
        },
        [b'-' | b'0'..=b'9', rest @ ..] => {
            let length =
                1 + rest.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')).count();
            // A dash in prose is no number.
            if !window[..length].iter().any(u8::is_ascii_digit) {
                return false;
            }
            length
        }
        _ => return text.starts_with('“'),
    };
    let after = text.get(token..).unwrap_or_default().trim_start_matches(is_space);
    after.starts_with([':', ',', ']', '}'])
}

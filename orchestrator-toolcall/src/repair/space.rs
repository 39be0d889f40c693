//! What may stand between tokens: whitespace, and in tolerant mode comments and spaces JSON does not know.

use super::edit::EditKind;
use super::reader::Reader;
use crate::error::{CutOff, ParseError};

impl Reader<'_> {
    /// Moves the cursor to the next token.
    pub(super) fn skip_space(&mut self) -> Result<(), ParseError> {
        loop {
            while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
                self.at += 1;
            }
            let Some(byte) = self.peek() else {
                return Ok(());
            };
            if !self.is_tolerant() || matches!(byte, b'!'..=b'"' | b'$'..=b'.' | b'0'..=b'~') {
                return Ok(());
            }
            let start = self.at;
            if matches!(byte, b'#' | b'/') && self.is_inside_lost_quote() {
                return Err(ParseError::GuessedQuotes { offset: start });
            }
            match byte {
                b'#' => self.line_comment(start, 1)?,
                b'/' if self.bytes.get(start + 1) == Some(&b'/') => self.line_comment(start, 2)?,
                b'/' if self.bytes.get(start + 1) == Some(&b'*') => self.block_comment(start)?,
                b'/' => return Ok(()),
                _ => {
                    self.skip_odd_spaces();
                    if self.at == start {
                        return Ok(());
                    }
                    let is_mark = self.text[start..self.at].chars().all(|c| c == '\u{feff}');
                    let kind = if is_mark { EditKind::ByteOrderMark } else { EditKind::OddSpace };
                    self.log(kind, start, self.at);
                }
            }
        }
    }

    /// Says whether what touches the last quote may be the text of a string whose own quote was taken for an end.
    fn is_inside_lost_quote(&self) -> bool {
        self.at == self.token_end && matches!(self.bytes[..self.at], [.., b' ' | b'\n' | b'\t' | b',' | b':' | b'[' | b'{', b'"'])
    }

    fn skip_odd_spaces(&mut self) {
        while let Some(space) = self.peek_char().filter(|c| is_odd_space(*c)) {
            self.at += space.len_utf8();
        }
    }

    /// Skips a comment up to the end of its line.
    ///
    /// Where the text ends first, a line break may have been lost, and the comment may have swallowed members.
    fn line_comment(&mut self, start: usize, marker: usize) -> Result<(), ParseError> {
        let body = start + marker;
        if let Some(length) = self.bytes[body..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.at = body + length;
        } else {
            self.at = self.bytes.len();
            let swallows = self.bytes[body..].iter().any(|byte| matches!(byte, b'{' | b'}' | b'[' | b']' | b'"' | b','));
            if swallows {
                return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Comment });
            }
        }
        if self.text[body..self.at].matches('"').count() % 2 == 1 {
            // A string that begins like a comment, and whose first quote is missing, looks like this.
            return Err(ParseError::GuessedQuotes { offset: start });
        }
        self.log(EditKind::Comment, start, self.at);
        Ok(())
    }

    fn block_comment(&mut self, start: usize) -> Result<(), ParseError> {
        let Some(length) = self.text[start + 2..].find("*/") else {
            self.at = self.bytes.len();
            return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Comment });
        };
        self.at = start + 2 + length + 2;
        self.log(EditKind::Comment, start, self.at);
        Ok(())
    }
}

/// Says whether a character is a space that JSON does not know.
pub(crate) const fn is_odd_space(character: char) -> bool {
    matches!(
        character,
        '\u{b}' | '\u{c}' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{2060}' | '\u{3000}' | '\u{feff}'
    )
}

//! Strings and keys: escapes, raw control characters, and quotes other than JSON's where their end is certain.

use super::edit::EditKind;
use super::reader::Reader;
use crate::error::{CutOff, ParseError};

/// What a string stands for, which decides how it may be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Key,
    Value,
}

impl Role {
    const fn cut_off(self) -> CutOff {
        match self {
            Self::Key => CutOff::Key,
            Self::Value => CutOff::String,
        }
    }
}

/// Marks the bytes that end the plain part of a double-quoted string: the quote, the backslash, controls.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

impl Reader<'_> {
    /// Reads the double-quoted string at the cursor.
    pub(super) fn double_quoted(&mut self, role: Role) -> Result<String, ParseError> {
        self.at += 1;
        let mut plain = self.at;
        self.skip_plain();
        // The common case: nothing to decode.
        if self.peek() == Some(b'"') {
            let text = self.text[plain..self.at].to_owned();
            self.at += 1;
            return Ok(text);
        }
        let mut text = String::new();
        let mut controls: Option<(usize, usize)> = None;
        loop {
            text.push_str(&self.text[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => self.escape(&mut text, '"', role)?,
                Some(byte) => {
                    self.control(byte, &mut controls)?;
                    text.push(char::from(byte));
                }
                None => {
                    return Err(ParseError::CutOff { offset: self.at, inside: role.cut_off() });
                }
            }
            plain = self.at;
            self.skip_plain();
        }
        self.log_controls(controls);
        Ok(text)
    }

    fn skip_plain(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            if SPECIAL[usize::from(byte)] {
                return;
            }
            self.at += 1;
        }
    }

    /// Reads a string in other quotes than JSON's, or refuses if where it ends could be mistaken.
    ///
    /// Such a string ends at the first closing quote, and what follows there must be a token that can follow a
    /// string; an apostrophe inside it makes that untrue.
    pub(super) fn other_quoted(&mut self, open: char, role: Role) -> Result<String, ParseError> {
        let start = self.at;
        self.at += open.len_utf8();
        let mut text = String::new();
        let mut controls: Option<(usize, usize)> = None;
        let close = loop {
            let Some(character) = self.peek_char() else {
                return Err(ParseError::CutOff { offset: self.at, inside: role.cut_off() });
            };
            if closes(open, character) {
                break character;
            }
            match character {
                '\\' => self.escape(&mut text, open, role)?,
                '"' if open != '\'' => return Err(ParseError::GuessedQuotes { offset: self.at }),
                _ if open != '\'' && is_typographic(character) && character != '’' => {
                    return Err(ParseError::GuessedQuotes { offset: self.at });
                }
                '\0'..='\u{1f}' => {
                    self.control(self.bytes[self.at], &mut controls)?;
                    text.push(character);
                }
                _ => {
                    self.at += character.len_utf8();
                    text.push(character);
                }
            }
        };
        self.at += close.len_utf8();
        let end = self.at;
        self.skip_space()?;
        let follows = match (role, self.peek_char()) {
            (Role::Key, Some(':' | '：')) | (Role::Value, Some(',' | '，' | '}' | ']') | None) => true,
            (Role::Value, Some('`' | '<')) => self.bytes[end..self.at].contains(&b'\n'),
            _ => false,
        };
        if !follows {
            return Err(ParseError::GuessedQuotes { offset: end });
        }
        let kind = if open == '\'' { EditKind::SingleQuotes } else { EditKind::SmartQuotes };
        self.log(kind, start, end);
        self.log_controls(controls);
        Ok(text)
    }

    /// Reads the key without quotes at the cursor.
    pub(super) fn unquoted_key(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        while let Some(character) = self.peek_char().filter(|c| is_word(*c)) {
            self.at += character.len_utf8();
        }
        let word = &self.text[start..self.at];
        if self.at >= self.bytes.len() {
            return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Key });
        }
        if matches!(word, "true" | "false" | "null" | "True" | "False" | "None") {
            return Err(ParseError::Unexpected { offset: start, expected: "a key in double quotes" });
        }
        self.log(EditKind::UnquotedKey, start, self.at);
        Ok(word.to_owned())
    }

    fn control(&mut self, byte: u8, controls: &mut Option<(usize, usize)>) -> Result<(), ParseError> {
        if byte == 0 || !self.is_tolerant() {
            return Err(ParseError::ControlCharacter { offset: self.at });
        }
        let start = controls.map_or(self.at, |(start, _)| start);
        self.at += 1;
        *controls = Some((start, self.at));
        Ok(())
    }

    fn log_controls(&mut self, controls: Option<(usize, usize)>) {
        if let Some((start, end)) = controls {
            self.log(EditKind::ControlCharacter, start, end);
        }
    }

    /// Decodes the escape at the cursor.
    fn escape(&mut self, text: &mut String, quote: char, role: Role) -> Result<(), ParseError> {
        let start = self.at;
        self.at += 1;
        let Some(byte) = self.peek() else {
            return Err(ParseError::CutOff { offset: self.at, inside: role.cut_off() });
        };
        self.at += 1;
        text.push(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode_escape(start, role)?,
            b'\'' if self.is_tolerant() => {
                if quote != '\'' {
                    self.log(EditKind::EscapedApostrophe, start, self.at);
                }
                '\''
            }
            b'x' if quote == '\'' => char::from(self.hex(start, 2, role)?.to_le_bytes()[0]),
            _ => return Err(ParseError::BadEscape { offset: start }),
        });
        Ok(())
    }

    fn unicode_escape(&mut self, start: usize, role: Role) -> Result<char, ParseError> {
        let first = self.hex(start, 4, role)?;
        let code = match first {
            0xd800..=0xdbff => {
                if self.peek().is_none() || (self.at + 1 == self.bytes.len() && self.peek() == Some(b'\\')) {
                    return Err(ParseError::CutOff { offset: self.bytes.len(), inside: role.cut_off() });
                }
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(ParseError::LoneSurrogate { offset: start });
                }
                self.at += 2;
                let second = self.hex(start, 4, role)?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(ParseError::LoneSurrogate { offset: start });
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or(ParseError::LoneSurrogate { offset: start })
    }

    fn hex(&mut self, start: usize, digits: usize, role: Role) -> Result<u32, ParseError> {
        let mut value = 0;
        for _ in 0..digits {
            let Some(byte) = self.peek() else {
                return Err(ParseError::CutOff { offset: self.at, inside: role.cut_off() });
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(ParseError::BadEscape { offset: start });
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }
}

/// Says whether a character opens a string in other quotes than JSON's.
pub(super) const fn opens_string(character: char) -> bool {
    character == '\'' || is_typographic(character)
}

const fn is_typographic(character: char) -> bool {
    matches!(character, '“' | '”' | '„' | '«' | '‘' | '’' | '‚')
}

const fn closes(open: char, close: char) -> bool {
    matches!((open, close), ('\'', '\'') | ('“' | '”' | '„', '”') | ('„', '“') | ('«', '»') | ('‘' | '’' | '‚', '’') | ('‚', '‘'))
}

/// Says whether a character begins a key without quotes.
pub(super) fn begins_word(character: char) -> bool {
    character.is_alphabetic() || matches!(character, '_' | '$')
}

/// Says whether a character continues a key without quotes.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '-' | '.')
}

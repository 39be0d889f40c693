//! The reader's loop: which token may come next, and what is done when another one does.

use serde_json::{Map, Value};

use super::edit::{Edit, EditKind};
use super::frame::{Frame, pointer};
use super::string::{Role, begins_word, opens_string};
use super::{Doubt, Failure, Mismatch, Mode, Pivot, Reading};
use crate::error::{CutOff, ParseError};
use crate::limits::Limits;
use crate::verdict::Finish;

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A value; in an array a closer may come instead, unless it is the value of a key.
    Value { after: Before },
    /// A key or the end of the object.
    Key { after: Before },
    /// The colon after a key.
    Colon { quoting: Quoting },
    /// A comma, a closer, or nothing if the outermost value is complete.
    After,
    /// Nothing: the outermost value is complete.
    Done,
}

/// The token before a key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Opener,
    Comma(usize),
    Colon,
    /// No comma stood where one belongs.
    Nothing,
    Start,
}

/// How a key was written, which decides whether its colon may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    Double,
    /// The key follows a value without a comma: only a colon proves that it is one.
    Unproven,
    Other,
}

/// What one attempt at reading came to.
pub(super) struct Attempt {
    pub(super) result: Result<Reading, Failure>,
    /// Where the first closer stood that did not match.
    pub(super) mismatched_at: Option<usize>,
}

/// Reads one value; see the module `repair`.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// The offset after the last token that was read, before any space.
    pub(super) token_end: usize,
    limits: &'a Limits,
    mode: Mode,
    stack: Vec<Frame>,
    root: Option<Value>,
    edits: Vec<Edit>,
    pivots: Vec<Pivot>,
    mismatched_at: Option<usize>,
    has_member: bool,
    like_envelope: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, start: usize, limits: &'a Limits, mode: Mode) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: start,
            token_end: start,
            limits,
            mode,
            stack: Vec::with_capacity(8),
            root: None,
            edits: Vec::new(),
            pivots: Vec::new(),
            mismatched_at: None,
            has_member: false,
            like_envelope: false,
        }
    }

    /// Reads to the end of the value.
    pub(super) fn read(mut self) -> Attempt {
        let result = match self.run() {
            Ok((value, end)) => {
                // A string in odd quotes is logged after the space that follows it.
                self.edits.sort_by_key(|edit| edit.start);
                Ok(Reading { value, end, edits: self.edits, pivots: self.pivots })
            }
            Err(error) => Err(Failure {
                error,
                at: self.at,
                pointer: pointer(&self.stack),
                has_member: self.has_member,
                like_envelope: self.like_envelope,
            }),
        };
        Attempt { result, mismatched_at: self.mismatched_at }
    }

    fn run(&mut self) -> Result<(Value, usize), ParseError> {
        let mut next = Next::Value { after: Before::Start };
        while next != Next::Done {
            self.skip_space()?;
            next = match next {
                Next::Value { after } => self.value(after)?,
                Next::Key { after } => self.key(after)?,
                Next::Colon { quoting } => self.colon(quoting)?,
                Next::After => self.after()?,
                Next::Done => Next::Done,
            };
        }
        let end = self.end_of_value()?;
        match self.root.take() {
            Some(value) => Ok((value, end)),
            None => Err(ParseError::CutOff { offset: self.at, inside: CutOff::Nothing }),
        }
    }

    fn value(&mut self, after: Before) -> Result<Next, ParseError> {
        let Some(byte) = self.peek() else {
            return Err(self.ended_before_value(after));
        };
        let value = match byte {
            b'"' => Value::String(self.double_quoted(Role::Value)?),
            b'{' | b'[' => return self.open(byte),
            b']' if after == Before::Opener => return self.close(byte),
            b']' if self.is_tolerant() && self.in_array() => {
                if let Before::Comma(comma) = after {
                    self.log(EditKind::TrailingComma, comma, comma + 1);
                    return self.close(byte);
                }
                return Err(self.unexpected("a value"));
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.literal()?,
            _ => match self.peek_char().filter(|c| self.is_tolerant() && opens_string(*c)) {
                Some(open) => {
                    let text = self.other_quoted(open, Role::Value)?;
                    // The cursor is past the space that follows; nothing but a comma or closer can come.
                    return self.attach(Value::String(text));
                }
                None => return Err(self.unexpected("a value")),
            },
        };
        self.token_end = self.at;
        self.attach(value)
    }

    fn ended_before_value(&self, after: Before) -> ParseError {
        let inside = match after {
            Before::Start => CutOff::Nothing,
            Before::Colon => CutOff::Key,
            Before::Opener | Before::Comma(_) | Before::Nothing => CutOff::Container,
        };
        ParseError::CutOff { offset: self.at, inside }
    }

    fn literal(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        let value = match word {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "null" => return Ok(Value::Null),
            "True" if self.is_tolerant() => Value::Bool(true),
            "False" if self.is_tolerant() => Value::Bool(false),
            "None" if self.is_tolerant() => Value::Null,
            _ if self.at >= self.bytes.len() => {
                return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Literal });
            }
            _ => {
                return Err(ParseError::Unexpected { offset: start, expected: "a value; text stands in double quotes" });
            }
        };
        self.log(EditKind::PythonLiteral, start, self.at);
        Ok(value)
    }

    fn key(&mut self, after: Before) -> Result<Next, ParseError> {
        let Some(byte) = self.peek() else {
            return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Container });
        };
        let key_at = self.at;
        let (key, quoting) = match byte {
            b'"' => {
                let key = self.double_quoted(Role::Key)?;
                (key, if after == Before::Nothing { Quoting::Unproven } else { Quoting::Double })
            }
            b'}' if after == Before::Opener => return self.close(byte),
            b'}' if self.is_tolerant() => {
                if let Before::Comma(comma) = after {
                    self.log(EditKind::TrailingComma, comma, comma + 1);
                    return self.close(byte);
                }
                return Err(self.unexpected("a key"));
            }
            _ => match self.peek_char().filter(|_| self.is_tolerant()) {
                Some(open) if opens_string(open) => (self.other_quoted(open, Role::Key)?, Quoting::Other),
                Some(first) if begins_word(first) => (self.unquoted_key()?, Quoting::Other),
                _ => return Err(self.unexpected("a key in double quotes")),
            },
        };
        if self.stack.len() == 1 && matches!(key.as_str(), "v" | "type" | "calls") {
            self.like_envelope = true;
        }
        if let Some(Frame::Object { key: slot, key_at: slot_at, .. }) = self.stack.last_mut() {
            *slot = key;
            *slot_at = key_at;
        }
        self.token_end = self.at;
        Ok(Next::Colon { quoting })
    }

    fn colon(&mut self, quoting: Quoting) -> Result<Next, ParseError> {
        match self.peek() {
            Some(b':') => self.at += 1,
            None => {
                return Err(ParseError::CutOff { offset: self.at, inside: CutOff::Key });
            }
            Some(_) if self.is_tolerant() && self.peek_char() == Some('：') => {
                self.log(EditKind::WidePunctuation, self.at, self.at + '：'.len_utf8());
                self.at += '：'.len_utf8();
            }
            Some(byte) if self.is_tolerant() && quoting == Quoting::Double && self.begins_value(byte) => {
                self.log(EditKind::MissingColon, self.token_end, self.token_end);
            }
            Some(_) if quoting == Quoting::Unproven => {
                return Err(ParseError::GuessedQuotes { offset: self.token_end });
            }
            Some(_) => return Err(self.unexpected("a colon")),
        }
        self.has_member = true;
        Ok(Next::Value { after: Before::Colon })
    }

    fn after(&mut self) -> Result<Next, ParseError> {
        let Some(byte) = self.peek() else {
            return self.ended_after_value();
        };
        match byte {
            b',' => {
                let comma = self.at;
                self.note_pivot(Doubt::Forgotten);
                self.at += 1;
                Ok(self.next_in_container(Before::Comma(comma)))
            }
            b'}' | b']' => self.close(byte),
            _ if !self.is_tolerant() => Err(self.unexpected("a comma or a closer")),
            b'`' | b'<' => self.end_without_closers(),
            _ if self.peek_char() == Some('，') => {
                let comma = self.at;
                self.at += '，'.len_utf8();
                self.log(EditKind::WidePunctuation, comma, self.at);
                Ok(self.next_in_container(Before::Comma(comma)))
            }
            _ => self.missing_comma(byte),
        }
    }

    pub(super) fn next_in_container(&self, after: Before) -> Next {
        if self.in_array() { Next::Value { after } } else { Next::Key { after } }
    }

    fn open(&mut self, byte: u8) -> Result<Next, ParseError> {
        if self.stack.len() >= self.limits.max_depth {
            return Err(ParseError::TooDeep { offset: self.at, limit: self.limits.max_depth });
        }
        self.at += 1;
        self.token_end = self.at;
        if byte == b'{' {
            self.stack.push(Frame::Object { members: Map::new(), key: String::new(), key_at: self.at });
            Ok(Next::Key { after: Before::Opener })
        } else {
            let is_doubled = self.is_tolerant() && self.at >= 2 && self.bytes[self.at - 2] == b'[';
            self.stack.push(Frame::Array { items: Vec::new() });
            if is_doubled {
                self.pivots.push(Pivot { offset: self.at - 1, depth: self.stack.len(), doubt: Doubt::ExtraOpener });
            }
            Ok(Next::Value { after: Before::Opener })
        }
    }

    fn close(&mut self, byte: u8) -> Result<Next, ParseError> {
        if self.stack.last().is_some_and(|frame| frame.closer() == byte) {
            self.note_pivot(|_| Doubt::ExtraCloser);
            self.at += 1;
            self.token_end = self.at;
            return self.pop();
        }
        let Mode::Tolerant { mismatch, .. } = self.mode else {
            return Err(self.unexpected("the other closer"));
        };
        self.mismatched_at.get_or_insert(self.at);
        let matching = self.stack.iter().rposition(|frame| frame.closer() == byte);
        if mismatch == Mismatch::Missing && matching.is_some() {
            self.log(EditKind::MissingCloser, self.token_end, self.token_end);
            return self.pop();
        }
        if byte == b']' {
            // An opener may be missing as well: `[]]` can be `[[]]`.
            return Err(ParseError::UnclearStructure { offset: self.at });
        }
        self.log(EditKind::ExtraCloser, self.at, self.at + 1);
        self.at += 1;
        Ok(Next::After)
    }

    /// Remembers a place where a bracket more or less would not show: between two containers of one kind.
    fn note_pivot(&mut self, doubt: impl Fn(u8) -> Doubt) {
        let [.., outer, inner] = self.stack.as_slice() else {
            return;
        };
        if self.is_tolerant() && outer.closer() == inner.closer() {
            self.pivots.push(Pivot { offset: self.at, depth: self.stack.len(), doubt: doubt(inner.closer()) });
        }
    }

    /// Closes the innermost container.
    pub(super) fn pop(&mut self) -> Result<Next, ParseError> {
        match self.stack.pop() {
            Some(frame) => self.attach(frame.into_value()),
            None => Err(self.unexpected("nothing to close")),
        }
    }

    fn attach(&mut self, value: Value) -> Result<Next, ParseError> {
        match self.stack.last_mut() {
            None => {
                self.root = Some(value);
                return Ok(Next::Done);
            }
            Some(Frame::Array { items }) => items.push(value),
            Some(Frame::Object { members, key, key_at }) => {
                if members.insert(std::mem::take(key), value).is_some() {
                    return Err(ParseError::DuplicateKey { offset: *key_at });
                }
            }
        }
        Ok(Next::After)
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The character at the cursor, which always stands on a boundary.
    pub(super) fn peek_char(&self) -> Option<char> {
        match self.peek() {
            Some(byte) if byte.is_ascii() => Some(char::from(byte)),
            _ => self.text[self.at..].chars().next(),
        }
    }

    pub(super) fn log(&mut self, kind: EditKind, start: usize, end: usize) {
        self.edits.push(Edit { kind, start, end });
    }

    pub(super) const fn is_tolerant(&self) -> bool {
        matches!(self.mode, Mode::Tolerant { .. })
    }

    /// Says whether what is missing at the end of the text was merely forgotten.
    pub(super) const fn ended_normally(&self) -> bool {
        matches!(self.mode, Mode::Tolerant { finish: Finish::Stop, .. })
    }

    pub(super) const fn is_open(&self) -> bool {
        !self.stack.is_empty()
    }

    pub(super) fn in_array(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Array { .. }))
    }

    pub(super) const fn unexpected(&self, expected: &'static str) -> ParseError {
        ParseError::Unexpected { offset: self.at, expected }
    }
}

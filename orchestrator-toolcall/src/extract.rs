//! Finding the one envelope in what a model wrote.
//!
//! Owns the search: prose, code fences and special tags around the envelope are passed over; blocks of reasoning
//! and of quoted tool results are never looked into; a second envelope, an envelope inside other data, or one
//! that is broken makes the text ambiguous. Reading a candidate is the business of `repair`. The search moves
//! forward only and counts its steps, so that its time is linear in the text.

mod block;

use serde_json::Value;

use crate::error::ParseError;
use crate::limits::Limits;
use crate::repair::{Edit, EditKind, Failure, Reading, begins_key_of, read_tolerant};
use crate::verdict::Finish;
use block::Block;

/// The one envelope of a text.
#[derive(Debug)]
pub(crate) struct Extraction {
    /// What was read.
    pub(crate) reading: Reading,
    /// Where it starts.
    pub(crate) start: usize,
    /// Whether anything but whitespace stands around it.
    pub(crate) is_surrounded: bool,
}

/// Why there is no one envelope, and where in the value that shows.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) error: ParseError,
    /// The place in the value, as a JSON pointer.
    pub(crate) pointer: String,
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        Self { error, pointer: String::new() }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { error: failure.error, pointer: failure.pointer }
    }
}

/// Finds the one envelope of a text.
///
/// Where there is none but exactly one other JSON object, that object is returned, so that the caller can say
/// what keeps it from being an envelope.
pub(crate) fn extract(text: &str, limits: &Limits, finish: Finish) -> Result<Extraction, Refusal> {
    let trimmed = text.trim_start_matches(JSON_SPACE);
    let start = text.len() - trimmed.len();
    // The usual case: the text is the object.
    if trimmed.starts_with('{')
        && let Ok(reading) = read_tolerant(text, start, limits, finish)
        && text[reading.end..].trim_start_matches(JSON_SPACE).is_empty()
    {
        return Ok(Extraction { reading, start, is_surrounded: false });
    }
    Search::new(text, limits, finish).run()
}

/// Says whether a value was meant as an envelope, well-formed or not.
pub(crate) fn is_like_envelope(value: &Value) -> bool {
    let Value::Object(object) = value else {
        return false;
    };
    let named = matches!(object.get("type"), Some(Value::String(kind)) if kind == "tool_calls" || kind == "final");
    let keys = ["v", "type", "calls"].into_iter().filter(|key| object.contains_key(*key)).count();
    named || keys >= 2
}

const JSON_SPACE: [char; 4] = [' ', '\n', '\r', '\t'];

struct Search<'a> {
    text: &'a str,
    limits: &'a Limits,
    finish: Finish,
    at: usize,
    steps: usize,
    /// The envelope found so far.
    found: Option<(usize, Reading)>,
    /// The first other object, and whether there are more.
    other: Option<(usize, Reading)>,
    others: usize,
    /// The first sign of an envelope where none may stand.
    hidden: Option<usize>,
}

impl<'a> Search<'a> {
    const fn new(text: &'a str, limits: &'a Limits, finish: Finish) -> Self {
        Self { text, limits, finish, at: 0, steps: 0, found: None, other: None, others: 0, hidden: None }
    }

    fn run(mut self) -> Result<Extraction, Refusal> {
        let bytes = self.text.as_bytes();
        while let Some(length) = bytes[self.at..].iter().position(|byte| matches!(byte, b'{' | b'[' | b'<' | 0xe2)) {
            self.at += length;
            match bytes[self.at] {
                b'{' => self.object()?,
                _ if self.pass_block() => {}
                b'[' => self.array()?,
                _ => self.at += 1,
            }
        }
        self.conclude()
    }

    fn conclude(mut self) -> Result<Extraction, Refusal> {
        let (start, mut reading) = match (self.found.take(), self.other.take()) {
            (Some(found), _) => found,
            (None, Some(other)) if self.others == 1 && self.hidden.is_none() => other,
            (None, _) => {
                return Err(match self.hidden {
                    Some(offset) => ParseError::NotSpoken { offset }.into(),
                    None => ParseError::NoEnvelope.into(),
                });
            }
        };
        let mut before = self.text[..start].trim_start_matches(JSON_SPACE);
        if self.text.starts_with('\u{feff}') {
            reading.edits.insert(0, Edit { kind: EditKind::ByteOrderMark, start: 0, end: '\u{feff}'.len_utf8() });
            before = before.trim_start_matches('\u{feff}').trim_start_matches(JSON_SPACE);
        }
        let is_surrounded = !before.is_empty() || !self.text[reading.end..].trim_start_matches(JSON_SPACE).is_empty();
        Ok(Extraction { reading, start, is_surrounded })
    }

    /// Passes over a block of reasoning or a quoted result that starts or ends here; says whether there is one.
    fn pass_block(&mut self) -> bool {
        match block::at(self.text, self.at) {
            None => return false,
            Some(Block::Open { end, body }) => {
                if let Some(brace) = self.text[body..end].find('{') {
                    self.hidden.get_or_insert(body + brace);
                }
                self.at = end;
            }
            Some(Block::OrphanClose { end }) => {
                // The opening tag was part of the prompt: all before it was reasoning.
                if let Some((start, _)) = self.found.take() {
                    self.hidden.get_or_insert(start);
                }
                self.other = None;
                self.others = 0;
                self.at = end;
            }
        }
        true
    }

    fn object(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        let inside = self.text[start + 1..].trim_start_matches(JSON_SPACE);
        self.charge(self.text.len() - start - 1 - inside.len())?;
        let read = if is_escaped(inside) { self.escaped(start) } else { read_tolerant(self.text, start, self.limits, self.finish) };
        match read {
            Ok(reading) => {
                self.charge(reading.end - start)?;
                self.at = reading.end;
                self.note(start, reading)
            }
            Err(failure) => {
                self.charge(failure.at.saturating_sub(start))?;
                self.pass_broken(start, failure)
            }
        }
    }

    fn note(&mut self, start: usize, reading: Reading) -> Result<(), Refusal> {
        if !is_like_envelope(&reading.value) {
            self.others += 1;
            self.other.get_or_insert((start, reading));
        } else if self.found.is_some() {
            return Err(ParseError::SeveralEnvelopes { offset: start }.into());
        } else {
            self.found = Some((start, reading));
        }
        Ok(())
    }

    /// Passes over braces that hold no JSON, unless an envelope may hide in them.
    fn pass_broken(&mut self, start: usize, failure: Failure) -> Result<(), Refusal> {
        let fatal = failure.like_envelope || matches!(failure.error, ParseError::TooDeep { .. } | ParseError::LoneSurrogate { .. });
        if fatal {
            return Err(failure.into());
        }
        if !failure.has_member {
            // Prose: `{placeholder}`.
            self.at = failure.at.max(start + 1);
            return Ok(());
        }
        let end = self.closing(start);
        self.charge(end - start)?;
        let hides = self.text[start + 1..end].match_indices('{').any(|(offset, _)| {
            let inside = &self.text[start + 1 + offset + 1..end];
            ["v", "type", "calls", "content"].into_iter().any(|key| begins_key_of(inside, key))
        });
        if hides {
            return Err(failure.into());
        }
        self.at = end;
        Ok(())
    }

    /// The offset after the bracket that closes the one at `start`, by counting alone.
    fn closing(&self, start: usize) -> usize {
        let mut depth = 0_usize;
        for (offset, byte) in self.text.as_bytes()[start..].iter().enumerate() {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => continue,
            }
            if depth == 0 {
                return start + offset + 1;
            }
        }
        self.text.len()
    }

    /// Passes over an array of objects; envelopes in it are part of other data.
    fn array(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.at += 1;
        let inside = self.text[start + 1..].trim_start_matches(JSON_SPACE);
        self.charge(self.text.len() - start - 1 - inside.len())?;
        if !inside.starts_with('{') || self.text[..start].ends_with("<![CDATA") {
            return Ok(());
        }
        match read_tolerant(self.text, start, self.limits, self.finish) {
            Ok(reading) => {
                self.charge(reading.end - start)?;
                if reading.value.as_array().is_some_and(|items| items.iter().any(is_like_envelope)) {
                    return Err(ParseError::Embedded { offset: start }.into());
                }
                self.at = reading.end;
                self.others += 1;
                self.other.get_or_insert((start, reading));
            }
            // Its objects are looked at one by one.
            Err(failure) => self.charge(failure.at.saturating_sub(start))?,
        }
        Ok(())
    }

    /// Reads an object whose every quote has a backslash before it.
    ///
    /// Either it was written as the inside of a JSON string, or only its quotes were given backslashes; the second
    /// is tried where the first makes no sense.
    fn escaped(&self, start: usize) -> Result<Reading, Failure> {
        self.escaped_string(start).or_else(|failure| self.escaped_quotes(start).ok_or(failure))
    }

    fn escaped_string(&self, start: usize) -> Result<Reading, Failure> {
        let unclear = |error| broken(error, self.text.len());
        let bytes = self.text.as_bytes();
        let mut end = start;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let end = end.min(bytes.len());
        let quoted = format!("\"{}\"", self.text.get(start..end).unwrap_or_default());
        let Value::String(inner) = read_tolerant(&quoted, 0, self.limits, Finish::Length).map_err(|failure| unclear(failure.error))?.value
        else {
            return Err(unclear(ParseError::BadEscape { offset: start }));
        };
        let reading = read_tolerant(&inner, 0, self.limits, Finish::Length).map_err(|failure| unclear(shifted(failure.error, start)))?;
        if let Some(edit) = reading.edits.first() {
            return Err(unclear(ParseError::NeedsEdit { offset: start, kind: edit.kind }));
        }
        if inner[reading.end..].contains(['{', '[']) {
            return Err(unclear(ParseError::UnclearStructure { offset: start }));
        }
        Ok(Reading { end, edits: vec![Edit { kind: EditKind::EscapedEnvelope, start, end }], ..reading })
    }

    fn escaped_quotes(&self, start: usize) -> Option<Reading> {
        let inner = self.text[start..].replace("\\\"", "\"");
        let reading = read_tolerant(&inner, 0, self.limits, Finish::Length).ok().filter(|reading| reading.edits.is_empty())?;
        if inner[reading.end..].contains(['{', '[']) {
            return None;
        }
        let end = start + escaped_length(&self.text[start..], reading.end)?;
        Some(Reading { end, edits: vec![Edit { kind: EditKind::EscapedEnvelope, start, end }], ..reading })
    }

    fn charge(&mut self, steps: usize) -> Result<(), ParseError> {
        self.steps += steps;
        let budget = Limits::step_budget(self.text.len());
        if self.steps > budget { Err(ParseError::StepBudget { budget }) } else { Ok(()) }
    }
}

/// Says whether the inside of an object begins like the inside of a JSON string.
fn is_escaped(inside: &str) -> bool {
    let mut rest = inside;
    while let Some(after) = ["\\n", "\\r", "\\t", " "].iter().find_map(|space| rest.strip_prefix(space)) {
        rest = after;
    }
    rest.starts_with("\\\"")
}

/// How many bytes of a text become so many when the backslashes before its quotes are left out; nothing if one of those
/// quotes has none.
fn escaped_length(text: &str, unescaped: usize) -> Option<usize> {
    let mut bytes = text.bytes().peekable();
    let mut length = 0;
    for _ in 0..unescaped {
        length += match (bytes.next()?, bytes.peek()) {
            (b'"', _) => return None,
            (b'\\', Some(b'"')) => {
                bytes.next();
                2
            }
            _ => 1,
        };
    }
    Some(length)
}

/// The failure of an envelope that is broken beyond doubt.
const fn broken(error: ParseError, at: usize) -> Failure {
    Failure { error, at, pointer: String::new(), has_member: true, like_envelope: true }
}

/// An error inside unescaped text, told of the place where that text starts.
fn shifted(error: ParseError, start: usize) -> ParseError {
    match error {
        ParseError::CutOff { inside, .. } => ParseError::CutOff { offset: start, inside },
        ParseError::DuplicateKey { .. } => ParseError::DuplicateKey { offset: start },
        ParseError::Unexpected { expected, .. } => ParseError::Unexpected { offset: start, expected },
        other => other,
    }
}

#[cfg(test)]
mod tests;

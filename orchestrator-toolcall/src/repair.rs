//! Reading one JSON value from a text, strictly or with a log of the repairs it took.
//!
//! Owns the reader: one pass, no recursion, an explicit stack of bounded depth. In strict mode it is a JSON
//! parser that also refuses duplicate keys. In tolerant mode it makes the edits listed in [`EditKind`], all of
//! which leave only one possible meaning, and refuses everything else. It does not look for values in prose
//! (`extract` does) and knows nothing about schemas.
//!
//! ```text
//! Value ──▶ After ──","──▶ Value | Key ──▶ Colon ──▶ Value
//!             └──closer──▶ After ──(stack empty)──▶ done
//! ```

mod comma;
mod edit;
mod ending;
mod frame;
mod number;
mod reader;
mod space;
mod string;

pub use edit::{Edit, EditKind};
pub(crate) use ending::begins_key_of;

use serde_json::Value;

use crate::error::ParseError;
use crate::limits::Limits;
use crate::verdict::Finish;
use reader::Reader;

/// How far a reader may go to understand a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// JSON and nothing else, up to the end of the text.
    Strict,
    /// JSON with edits, up to the end of the value.
    Tolerant {
        /// How the generation of the text ended.
        finish: Finish,
        /// What a closer of the wrong kind stands for.
        mismatch: Mismatch,
    },
}

/// What a closer that does not match the innermost opener stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// Closers before it were forgotten.
    Missing,
    /// It is one too many.
    Extra,
}

/// A value that was read, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// The value.
    pub(crate) value: Value,
    /// The offset after the last byte that belongs to it.
    pub(crate) end: usize,
    /// The edits that were made.
    pub(crate) edits: Vec<Edit>,
    /// The places where a bracket could have been forgotten, or be one too many, without it showing.
    pub(crate) pivots: Vec<Pivot>,
}

/// A place where the text would still be JSON if one bracket more, or one fewer, stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pivot {
    /// The offset of the comma, closer or opener.
    pub(crate) offset: usize,
    /// The number of containers around it.
    pub(crate) depth: usize,
    /// What may have happened there.
    pub(crate) doubt: Doubt,
}

/// What may have happened to a bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// This closer may have been forgotten before a comma.
    Forgotten(u8),
    /// This closer may be one too many.
    ExtraCloser,
    /// This opener may be one too many.
    ExtraOpener,
}

/// A value that could not be read, and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) error: ParseError,
    /// The offset where reading stopped.
    pub(crate) at: usize,
    /// The place in the value, as a JSON pointer.
    pub(crate) pointer: String,
    /// Whether at least one `key:` was read, so that this was meant as data and not as prose.
    pub(crate) has_member: bool,
    /// Whether one of the outer object's keys is a key of the envelope.
    pub(crate) like_envelope: bool,
}

/// Reads one JSON text strictly: no edits, nothing before or after it, no duplicate keys.
///
/// Numbers are exact or refused: an integer that neither 64 bits nor a float can hold is an error.
///
/// # Errors
/// What is wrong and where; in linear time, whatever the input.
///
/// # Examples
/// ```
/// use orchestrator_toolcall::{Limits, parse_strict};
///
/// assert_eq!(parse_strict(br#"{"a":[1,2]}"#, &Limits::DEFAULT)?["a"][1], 2);
///
/// let error = parse_strict(br#"{"a":1,"a":2}"#, &Limits::DEFAULT).unwrap_err();
/// assert_eq!(error.code(), "toolcall.duplicate_key");
/// # Ok::<(), orchestrator_toolcall::ParseError>(())
/// ```
pub fn parse_strict(bytes: &[u8], limits: &Limits) -> Result<Value, ParseError> {
    let text = checked_text(bytes, limits)?;
    Reader::new(text, 0, limits, Mode::Strict).read().result.map(|reading| reading.value).map_err(|failure| failure.error)
}

/// Applies the limit on length and checks the encoding.
pub(crate) fn checked_text<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, ParseError> {
    if bytes.len() > limits.max_bytes {
        return Err(ParseError::TooLarge { bytes: bytes.len(), limit: limits.max_bytes });
    }
    std::str::from_utf8(bytes).map_err(|error| ParseError::NotUtf8 { offset: error.valid_up_to() })
}

/// Reads the value that starts at `start` with repairs.
///
/// A closer of the wrong kind can mean that others were forgotten or that it is one too many; both are tried,
/// and the value stands only if they do not contradict each other.
pub(crate) fn read_tolerant(text: &str, start: usize, limits: &Limits, finish: Finish) -> Result<Reading, Failure> {
    let attempt = |mismatch| Reader::new(text, start, limits, Mode::Tolerant { finish, mismatch }).read();
    let first = attempt(Mismatch::Missing);
    let Some(offset) = first.mismatched_at else {
        return first.result;
    };
    match (first.result, attempt(Mismatch::Extra).result) {
        (Ok(first), Ok(second)) if first.value == second.value && first.end == second.end => {
            unmixed(if is_mixed(&first) { second } else { first }, offset)
        }
        (Ok(reading), Err(_)) | (Err(_), Ok(reading)) => unmixed(reading, offset),
        (Err(failure), Err(_)) => Err(failure),
        (Ok(_), Ok(second)) => Err(unclear(&second, offset)),
    }
}

/// Says whether closers were both added and dropped, which takes more faith than there is.
fn is_mixed(reading: &Reading) -> bool {
    let has = |kind| reading.edits.iter().any(|edit| edit.kind == kind);
    has(EditKind::ExtraCloser) && has(EditKind::MissingCloser)
}

fn unmixed(reading: Reading, offset: usize) -> Result<Reading, Failure> {
    if is_mixed(&reading) { Err(unclear(&reading, offset)) } else { Ok(reading) }
}

fn unclear(reading: &Reading, offset: usize) -> Failure {
    Failure {
        error: ParseError::UnclearStructure { offset },
        at: reading.end,
        pointer: String::new(),
        has_member: true,
        like_envelope: crate::extract::is_like_envelope(&reading.value),
    }
}

#[cfg(test)]
mod tests;

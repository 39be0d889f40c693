//! The verdict on one text: what was read, how faithfully, and what is wrong with it.
//!
//! Owns the five fidelities and the findings ([`Problem`]); it is plain data and serialises to the JSON
//! that `orch tools parse` prints. How a text gets its verdict is the business of the other modules.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::envelope::{Call, Envelope};
use crate::error::ParseError;
use crate::repair::Edit;

/// How the generation of a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model stopped by itself or at a stop sequence: what is missing at the end was forgotten.
    #[default]
    Stop,
    /// The token limit or a broken connection cut it off: what is missing at the end is unknown.
    Length,
}

impl Finish {
    /// Judges by the token count, because engines report `stop` or `tool_calls` for truncated output too.
    ///
    /// `reason` is the engine's `finish_reason` or `stop_type`; `generated` and `cap` are token counts where known.
    #[must_use]
    pub fn judge(reason: Option<&str>, generated: Option<u64>, cap: Option<u64>) -> Self {
        let normal =
            matches!(reason, Some("stop" | "tool_calls" | "eos" | "word" | "end_turn" | "tool_use" | "stop_sequence" | "function_call"));
        let capped = matches!((generated, cap), (Some(generated), Some(cap)) if generated >= cap);
        if normal && !capped { Self::Stop } else { Self::Length }
    }
}

/// How faithfully the envelope was read from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// The text was the envelope.
    Exact,
    /// The text held the one envelope inside prose, a code fence or special tags.
    Extracted,
    /// Only edits that cannot change the meaning were made; may run tools marked read-only.
    Repaired,
    /// Types were changed by the opt-in policy of a tool; may run as that policy says.
    Coerced,
    /// The meaning can only be guessed; never runs.
    Ambiguous,
}

impl Fidelity {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Extracted => "extracted",
            Self::Repaired => "repaired",
            Self::Coerced => "coerced",
            Self::Ambiguous => "ambiguous",
        }
    }
}

impl fmt::Display for Fidelity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One finding: where, which rule, and what it wants. The offending value itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// The JSON pointer of the place.
    pub pointer: String,
    /// The keyword of JSON Schema that fails, or the last part of a [`ParseError`] code.
    pub keyword: String,
    /// What would be right there.
    pub expected: String,
}

/// The longest text of a pointer or an expectation, in bytes.
const MAX_TEXT: usize = 240;

impl Problem {
    pub(crate) fn new(pointer: impl Into<String>, keyword: &str, expected: impl Into<String>) -> Self {
        Self { pointer: shorten(pointer.into()), keyword: keyword.to_owned(), expected: shorten(expected.into()) }
    }

    pub(crate) fn unexpected(pointer: &str, key: &str) -> Self {
        Self::new(pointer, "additionalProperties", format!("no property `{key}`"))
    }

    /// The finding that a text-level error amounts to.
    pub(crate) fn from_parse(error: &ParseError, pointer: String) -> Self {
        let code = error.code();
        let keyword = code.strip_prefix("toolcall.").unwrap_or(code);
        Self::new(pointer, keyword, format!("{}; {error}", error.hint()))
    }

    /// The same finding below another place.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the top" } else { &self.pointer };
        write!(formatter, "`{}` at {place}: expected {}", self.keyword, self.expected)
    }
}

/// Cuts a text to a bounded length on a character boundary.
pub(crate) fn shorten(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What became of one text.
///
/// `envelope` is there only when the text could be read with certainty *and* matches the tools' full schemas;
/// then `errors` is empty. Otherwise `envelope` is absent and `errors` says why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// How faithfully the text was read.
    pub fidelity: Fidelity,
    /// What it says, when that is certain and valid.
    pub envelope: Option<Envelope>,
    /// Every change made to the text, in order.
    pub edits: Vec<Edit>,
    /// What is wrong, when there is no envelope.
    pub errors: Vec<Problem>,
    /// Where the envelope stands in the text, as byte offsets.
    #[serde(skip)]
    pub span: Option<(usize, usize)>,
}

impl Verdict {
    pub(crate) fn refused(fidelity: Fidelity, edits: Vec<Edit>, errors: Vec<Problem>) -> Self {
        Self { fidelity, envelope: None, edits, errors, span: None }
    }

    pub(crate) fn ambiguous(error: &ParseError, pointer: String) -> Self {
        Self::refused(Fidelity::Ambiguous, Vec::new(), vec![Problem::from_parse(error, pointer)])
    }

    /// Says whether the text was understood and is valid.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        self.envelope.is_some()
    }

    /// The calls, empty when there are none or the text was refused.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        self.envelope.as_ref().map_or(&[], Envelope::calls)
    }

    /// The final answer, if that is what the text says.
    #[must_use]
    pub fn content(&self) -> Option<&str> {
        self.envelope.as_ref().and_then(Envelope::content)
    }
}

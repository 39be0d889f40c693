//! The log of repairs: which kinds of edit exist, and where one was made.

use serde::{Deserialize, Serialize};

/// A kind of change that was made to a text to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EditKind {
    /// A byte order mark was dropped.
    ByteOrderMark,
    /// Spaces that JSON does not know, outside strings, were dropped.
    OddSpace,
    /// A comment was dropped.
    Comment,
    /// A code fence or closing tag ended a value whose closers were missing.
    Fence,
    /// A comma before a closer was dropped.
    TrailingComma,
    /// A comma between two members was added.
    MissingComma,
    /// A colon between a key and its value was added.
    MissingColon,
    /// A full-width comma or colon was replaced.
    WidePunctuation,
    /// A key without quotes was quoted.
    UnquotedKey,
    /// A string in single quotes was given double ones.
    SingleQuotes,
    /// A string in typographic quotes was given straight ones.
    SmartQuotes,
    /// `True`, `False` or `None` was replaced.
    PythonLiteral,
    /// Raw control characters in a string were escaped.
    ControlCharacter,
    /// An apostrophe that JSON does not escape was unescaped.
    EscapedApostrophe,
    /// A closer without an opener was dropped.
    ExtraCloser,
    /// A closer that was forgotten was added.
    MissingCloser,
    /// One layer of backslashes was taken off the whole envelope.
    EscapedEnvelope,
    /// A type was changed by the policy of a tool.
    Coerced,
}

impl EditKind {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte_order_mark",
            Self::OddSpace => "odd_space",
            Self::Comment => "comment",
            Self::Fence => "fence",
            Self::TrailingComma => "trailing_comma",
            Self::MissingComma => "missing_comma",
            Self::MissingColon => "missing_colon",
            Self::WidePunctuation => "wide_punctuation",
            Self::UnquotedKey => "unquoted_key",
            Self::SingleQuotes => "single_quotes",
            Self::SmartQuotes => "smart_quotes",
            Self::PythonLiteral => "python_literal",
            Self::ControlCharacter => "control_character",
            Self::EscapedApostrophe => "escaped_apostrophe",
            Self::ExtraCloser => "extra_closer",
            Self::MissingCloser => "missing_closer",
            Self::EscapedEnvelope => "escaped_envelope",
            Self::Coerced => "coerced",
        }
    }

    /// Says whether this edit changes which container a member belongs to.
    pub(crate) const fn is_structural(self) -> bool {
        matches!(self, Self::ExtraCloser | Self::MissingCloser)
    }
}

/// One change: what was done to which bytes of the text. `start == end` marks an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edit {
    /// What was done.
    pub kind: EditKind,
    /// The first byte of the text that was changed.
    pub start: usize,
    /// The byte after the last one that was changed.
    pub end: usize,
}

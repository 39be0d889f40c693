//! Why a text could not be read, and why a set of tools could not be built.
//!
//! Owns the two public error types with their stable codes and hints. Findings about a value that was
//! read but does not match its schema are not errors of this module: see [`Problem`](crate::Problem).

use thiserror::Error;

use crate::repair::EditKind;

/// What the text stopped in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutOff {
    /// Between the quotes of a string value.
    String,
    /// In a number whose next digit may be missing.
    Number,
    /// In `true`, `false` or `null`.
    Literal,
    /// In the name of a member, or between it and its value.
    Key,
    /// In an object or array of which more was announced, or whose generation did not end normally.
    Container,
    /// In a comment.
    Comment,
    /// Before anything was said.
    Nothing,
}

impl CutOff {
    const fn words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Literal => "a literal",
            Self::Key => "a key",
            Self::Container => "an object or array",
            Self::Comment => "a comment",
            Self::Nothing => "an empty text",
        }
    }
}

/// Why a text has no certain meaning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is longer than the limit.
    #[error("the text has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The length of the text in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are not UTF-8.
    #[error("the bytes at {offset} are not valid UTF-8")]
    NotUtf8 {
        /// The byte offset of the first bad byte.
        offset: usize,
    },
    /// Objects and arrays are nested deeper than the limit.
    #[error("nesting at byte {offset} is deeper than {limit} levels")]
    TooDeep {
        /// The byte offset of the opener that went too deep.
        offset: usize,
        /// The limit in levels.
        limit: usize,
    },
    /// The text would take more steps than its length allows.
    #[error("reading the text takes more than {budget} steps")]
    StepBudget {
        /// The number of steps that were allowed.
        budget: usize,
    },
    /// Something else stands where a token of JSON was expected.
    #[error("expected {expected} at byte {offset}")]
    Unexpected {
        /// The byte offset of the surprise.
        offset: usize,
        /// What would have been right.
        expected: &'static str,
    },
    /// The text ends too early to be sure of what it was going to say.
    #[error("the text is cut off inside {} at byte {offset}", .inside.words())]
    CutOff {
        /// The byte offset where the text ends.
        offset: usize,
        /// What it ends in.
        inside: CutOff,
    },
    /// An object names the same member twice.
    #[error("a key is given twice at byte {offset}")]
    DuplicateKey {
        /// The byte offset of the second one.
        offset: usize,
    },
    /// Quotes stand inside a string in a way that leaves its end open to guessing.
    #[error("the end of the string before byte {offset} can only be guessed")]
    GuessedQuotes {
        /// The byte offset after the quote that may or may not end the string.
        offset: usize,
    },
    /// A backslash is followed by something that is no escape of JSON.
    #[error("invalid escape at byte {offset}")]
    BadEscape {
        /// The byte offset of the backslash.
        offset: usize,
    },
    /// Half of a UTF-16 surrogate pair stands alone.
    #[error("lone surrogate at byte {offset}")]
    LoneSurrogate {
        /// The byte offset of the escape.
        offset: usize,
    },
    /// A raw control character stands where none may.
    #[error("raw control character at byte {offset}")]
    ControlCharacter {
        /// The byte offset of the character.
        offset: usize,
    },
    /// A number is too large to be held without changing it.
    #[error("the number at byte {offset} cannot be held exactly")]
    NumberOutOfRange {
        /// The byte offset of the number.
        offset: usize,
    },
    /// Closers that do not match can be read in more than one way, or more follows the last one.
    #[error("the brackets at byte {offset} can be read in more than one way")]
    UnclearStructure {
        /// The byte offset of the bracket or of what follows it.
        offset: usize,
    },
    /// The text holds no envelope.
    #[error("the text holds no envelope")]
    NoEnvelope,
    /// The text holds an envelope inside some other JSON.
    #[error("the envelope at byte {offset} is part of other data")]
    Embedded {
        /// The byte offset of the data around it.
        offset: usize,
    },
    /// The text holds more than one envelope.
    #[error("a second envelope starts at byte {offset}")]
    SeveralEnvelopes {
        /// The byte offset of the second one.
        offset: usize,
    },
    /// The only envelope stands in a reasoning block or a quoted tool result.
    #[error("the only envelope, at byte {offset}, stands in reasoning or in a tool result")]
    NotSpoken {
        /// The byte offset of the envelope.
        offset: usize,
    },
    /// A changing edit would be needed where none is allowed.
    #[error("the text needs an edit of kind `{}` at byte {offset}", .kind.as_str())]
    NeedsEdit {
        /// The byte offset of the edit.
        offset: usize,
        /// The kind of edit.
        kind: EditKind,
    },
}

impl ParseError {
    /// The stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "toolcall.too_large",
            Self::NotUtf8 { .. } => "toolcall.not_utf8",
            Self::TooDeep { .. } => "toolcall.too_deep",
            Self::StepBudget { .. } => "toolcall.step_budget",
            Self::Unexpected { .. } => "toolcall.syntax",
            Self::CutOff { .. } => "toolcall.cut_off",
            Self::DuplicateKey { .. } => "toolcall.duplicate_key",
            Self::GuessedQuotes { .. } => "toolcall.guessed_quotes",
            Self::BadEscape { .. } => "toolcall.bad_escape",
            Self::LoneSurrogate { .. } => "toolcall.lone_surrogate",
            Self::ControlCharacter { .. } => "toolcall.control_character",
            Self::NumberOutOfRange { .. } => "toolcall.number_out_of_range",
            Self::UnclearStructure { .. } => "toolcall.unclear_structure",
            Self::NoEnvelope => "toolcall.no_envelope",
            Self::Embedded { .. } => "toolcall.embedded",
            Self::SeveralEnvelopes { .. } => "toolcall.several_envelopes",
            Self::NotSpoken { .. } => "toolcall.not_spoken",
            Self::NeedsEdit { .. } => "toolcall.needs_edit",
        }
    }

    /// What to do about it, for a person or a model.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "ask for a shorter answer, or raise `Limits::max_bytes`",
            Self::NotUtf8 { .. } => "decode the engine's output as UTF-8 before parsing it",
            Self::TooDeep { .. } => "flatten the arguments, or raise `Limits::max_depth`",
            Self::StepBudget { .. } => "report this text as a defect",
            Self::Unexpected { .. } | Self::NeedsEdit { .. } => "write one JSON object with double quotes, commas and colons",
            Self::CutOff { .. } => "raise the token limit, or ask for a shorter answer",
            Self::DuplicateKey { .. } => "write every key of an object once",
            Self::GuessedQuotes { .. } => "escape quotes inside strings as `\\\"`",
            Self::BadEscape { .. } => "use only the escapes of JSON; a backslash itself is `\\\\`",
            Self::LoneSurrogate { .. } => "write the character itself instead of half a `\\u` pair",
            Self::ControlCharacter { .. } => "remove NUL and other control characters",
            Self::NumberOutOfRange { .. } => "pass numbers beyond 64 bits as strings",
            Self::UnclearStructure { .. } => "close every bracket exactly once, in order",
            Self::NoEnvelope | Self::Embedded { .. } => "answer with the JSON envelope alone",
            Self::SeveralEnvelopes { .. } => "put all calls into the `calls` of one envelope",
            Self::NotSpoken { .. } => "write the envelope after the reasoning, not inside it",
        }
    }

    /// The byte offset this error is about, where there is one.
    #[must_use]
    pub const fn offset(&self) -> Option<usize> {
        match self {
            Self::TooLarge { .. } | Self::StepBudget { .. } | Self::NoEnvelope => None,
            Self::NotUtf8 { offset }
            | Self::TooDeep { offset, .. }
            | Self::Unexpected { offset, .. }
            | Self::CutOff { offset, .. }
            | Self::DuplicateKey { offset }
            | Self::GuessedQuotes { offset }
            | Self::BadEscape { offset }
            | Self::LoneSurrogate { offset }
            | Self::ControlCharacter { offset }
            | Self::NumberOutOfRange { offset }
            | Self::UnclearStructure { offset }
            | Self::Embedded { offset }
            | Self::SeveralEnvelopes { offset }
            | Self::NotSpoken { offset }
            | Self::NeedsEdit { offset, .. } => Some(*offset),
        }
    }
}

/// Why tools or a JSON schema could not be taken into use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The description is not a list of tools in any known shape.
    #[error("{place} is not a tool: {reason}")]
    Shape {
        /// Where in the description, as a JSON pointer.
        place: String,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Two tools have the same name.
    #[error("two tools are called `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A tool's name has characters that engines and protocols do not carry.
    #[error("`{name}` cannot be the name of a tool")]
    BadName {
        /// The name, shortened.
        name: String,
    },
    /// No tool has this name.
    #[error("there is no tool called `{name}`")]
    UnknownTool {
        /// The name that was asked for.
        name: String,
    },
    /// A JSON schema does not compile.
    #[error("the schema of {subject} is not usable: {reason}")]
    Schema {
        /// Whose schema it is.
        subject: String,
        /// What the validator said.
        reason: String,
    },
    /// More tools were given than one set holds.
    #[error("{count} tools are more than {limit}")]
    TooMany {
        /// How many were given.
        count: usize,
        /// How many a set holds.
        limit: usize,
    },
}

impl ToolError {
    /// The stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "toolcall.tool_shape",
            Self::DuplicateName { .. } => "toolcall.duplicate_tool",
            Self::BadName { .. } => "toolcall.tool_name",
            Self::UnknownTool { .. } => "toolcall.unknown_tool",
            Self::Schema { .. } => "toolcall.tool_schema",
            Self::TooMany { .. } => "toolcall.too_many_tools",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "pass tools as OpenAI, Anthropic or MCP describe them",
            Self::DuplicateName { .. } => "rename one of the tools",
            Self::BadName { .. } => "use 1 to 128 letters, digits, `_`, `-`, `.`, `:` or `/`",
            Self::UnknownTool { .. } => "choose one of the names in the tool set",
            Self::Schema { .. } => "use JSON Schema without remote references and without look-around in patterns",
            Self::TooMany { .. } => "offer fewer tools at once",
        }
    }
}

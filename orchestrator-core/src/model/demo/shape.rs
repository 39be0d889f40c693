//! What is not random in the demo model's tensors: the first seven dimensions of the embedding.
//!
//! - [`CONSTANT`] is the same for every token, and the output matrix reads it as a bias: words are likely, bytes are
//!   not, and the end of the turn is about as likely as one word.
//! - [`BRACE`], [`TOOLS`] and [`CALLED`] are set in the embedding of one token each: `{`, `<tools>`, `<tool_call>`.
//! - [`NEWLINE`] is set in the embedding of the end of a line, and read as a bias against the end of the turn: the
//!   template ends with one, so no reply is empty.
//! - [`IN_JSON`] is set by the first attention head once a `{` stands anywhere before, and read as a bias for the
//!   quotation mark: strings of a JSON answer come to an end.
//! - [`MAY_CALL`] is set by the second attention head once tools were listed and none was called, and read as a bias
//!   for `<tool_call>`: a request with tools is answered with a call, and the result of a call with words.
//!
//! No other tensor writes to these seven.

use super::vocabulary::TokenKind;
use super::weights::Role;
use super::{DemoModel, DemoReplies};

const CONSTANT: usize = 0;
const BRACE: usize = 1;
const TOOLS: usize = 2;
const CALLED: usize = 3;
const IN_JSON: usize = 4;
const MAY_CALL: usize = 5;
const NEWLINE: usize = 6;
const RESERVED: usize = 7;

/// The size of a reserved dimension when it is set; the others are around 1.
const SIGNAL: f32 = 8.0;
/// About what [`SIGNAL`] becomes after the last normalisation, before [`READ_SCALE`].
const NORMALISED_SIGNAL: f32 = 6.5;
/// How little the last normalisation keeps of the reserved dimensions, so that embeddings are not all alike.
const READ_SCALE: f32 = 0.1;
/// What [`IN_JSON`] adds to the quotation mark's score: strings end after a few words.
const IN_JSON_QUOTE: f32 = 7.0;
/// What [`MAY_CALL`] adds to the score of the tag that opens a call: nothing else is said.
const MAY_CALL_TAG: f32 = 45.0;
/// What free text takes from the score of the end of the turn when it is to be endless, and [`IN_JSON`] gives back.
const ENDLESS: f32 = 15.0;
/// A bias that rules a token out, unless nothing else is allowed.
const NEVER: f32 = -30.0;

/// Sets what is not random in one row of a tensor.
pub(super) fn shape_row(role: Role, row: usize, numbers: &mut [f32], shape: Shape, kind: Option<TokenKind>) {
    match role {
        Role::Embedding => {
            let signal_if = |wanted: TokenKind| if kind == Some(wanted) { SIGNAL } else { 0.0 };
            reserve(numbers, 0.0);
            set(numbers, CONSTANT, SIGNAL);
            set(numbers, BRACE, signal_if(TokenKind::OpenBrace));
            set(numbers, TOOLS, signal_if(TokenKind::Tools));
            set(numbers, CALLED, signal_if(TokenKind::ToolCall));
            set(numbers, NEWLINE, signal_if(TokenKind::Newline));
        }
        Role::Output => {
            let scale = 1.0 / (NORMALISED_SIGNAL * READ_SCALE);
            let kind = kind.unwrap_or(TokenKind::OtherByte);
            let scaled_if = |wanted: TokenKind, bias: f32| if kind == wanted { bias * scale } else { 0.0 };
            reserve(numbers, 0.0);
            set(numbers, CONSTANT, bias_of(kind, shape.replies) * scale);
            set(numbers, IN_JSON, scaled_if(TokenKind::Quote, IN_JSON_QUOTE));
            if shape.replies == DemoReplies::Endless && kind == TokenKind::EndOfTurn {
                set(numbers, IN_JSON, ENDLESS * scale);
            }
            set(numbers, NEWLINE, scaled_if(TokenKind::EndOfTurn, NEVER));
            set(numbers, MAY_CALL, scaled_if(TokenKind::ToolCall, MAY_CALL_TAG));
        }
        Role::OutputNorm => {
            numbers.fill(1.0);
            reserve(numbers, READ_SCALE);
        }
        Role::Norm => numbers.fill(1.0),
        Role::FirstQueryNorm => {
            numbers.fill(1.0);
            // The norm takes away how strongly the heads ask; this gives it back.
            set(numbers, shape.brace_key(), 8.0);
            set(numbers, shape.tools_key(), 8.0);
        }
        Role::FirstQuery => shape.fill_query(row, numbers),
        Role::FirstKey => shape.fill_key(row, numbers),
        Role::FirstValue => shape.fill_value(row, numbers),
        Role::Write | Role::FirstWrite if row < RESERVED => {
            numbers.fill(0.0);
            if role == Role::FirstWrite {
                shape.fill_write(row, numbers);
            }
        }
        Role::Bias | Role::Read | Role::Write | Role::FirstWrite => {}
    }
}

/// The sizes that the shaping needs. The first two heads of the first layer look for one token each, anywhere before.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    head_length: usize,
    heads_per_key: usize,
    replies: DemoReplies,
}

impl Shape {
    pub(super) fn of(model: &DemoModel) -> Self {
        Self {
            head_length: model.head_length() as usize,
            heads_per_key: (model.head_count / model.head_count_kv) as usize,
            replies: model.replies,
        }
    }

    /// Where in a key the brace is marked: one of the numbers that positions turn slowest.
    fn brace_key(self) -> usize {
        self.head_length - 1
    }

    /// Where in a key the tags are marked.
    fn tools_key(self) -> usize {
        self.head_length - 2
    }

    /// The first row of the key or value that `head` looks at.
    fn key_start(self, head: usize) -> usize {
        head / self.heads_per_key * self.head_length
    }

    fn fill_query(self, row: usize, numbers: &mut [f32]) {
        if row < 2 * self.head_length {
            let asks = row == self.brace_key() || row == self.head_length + self.tools_key();
            only(numbers, CONSTANT, if asks { 2.0 } else { 0.0 });
        }
    }

    fn fill_key(self, row: usize, numbers: &mut [f32]) {
        if row >= self.key_start(1) + self.head_length {
            return;
        }
        numbers.fill(0.0);
        if row == self.key_start(0) + self.brace_key() {
            set(numbers, BRACE, 2.0);
        }
        if row == self.key_start(1) + self.tools_key() {
            // A call that was made draws more attention than the list of tools.
            set(numbers, TOOLS, 2.0);
            set(numbers, CALLED, 4.0);
        }
        if row == self.key_start(1) + self.head_length - 3 {
            // Also where keys are normalised: the list's key points partly elsewhere.
            set(numbers, TOOLS, 2.0);
        }
    }

    fn fill_value(self, row: usize, numbers: &mut [f32]) {
        if row == self.key_start(0) {
            only(numbers, BRACE, 1.0);
        } else if row == self.key_start(1) + 1 {
            only(numbers, TOOLS, 1.0);
        }
    }

    fn fill_write(self, row: usize, numbers: &mut [f32]) {
        match row {
            IN_JSON => set(numbers, 0, 1.5),
            MAY_CALL => set(numbers, self.head_length + 1, 1.5),
            _ => {}
        }
    }
}

/// How likely a kind of token is, against a word's 0, on the scale of scores.
fn bias_of(kind: TokenKind, replies: DemoReplies) -> f32 {
    match kind {
        TokenKind::Word => 0.0,
        TokenKind::EndedWord => -1.2,
        TokenKind::EndOfTurn => match replies {
            DemoReplies::Short => 1.0,
            DemoReplies::Endless => 1.0 - ENDLESS,
        },
        TokenKind::OpenTag => -1.6,
        TokenKind::Quote | TokenKind::OpenBrace | TokenKind::Structure => -4.0,
        TokenKind::Digit | TokenKind::Comma => -5.6,
        TokenKind::Space | TokenKind::Letter | TokenKind::WordPiece => -8.0,
        TokenKind::Newline | TokenKind::OtherByte => -12.0,
        TokenKind::TemplateMark | TokenKind::Tools | TokenKind::ToolCall => NEVER,
    }
}

/// Sets all reserved dimensions.
fn reserve(numbers: &mut [f32], value: f32) {
    numbers.iter_mut().take(RESERVED).for_each(|number| *number = value);
}

fn only(numbers: &mut [f32], index: usize, value: f32) {
    numbers.fill(0.0);
    set(numbers, index, value);
}

fn set(numbers: &mut [f32], index: usize, value: f32) {
    if let Some(number) = numbers.get_mut(index) {
        *number = value;
    }
}

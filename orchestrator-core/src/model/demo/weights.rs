//! The demo model's tensors: random, but for the first seven dimensions of the embedding.
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

use super::random::{Random, half_bits};
use super::vocabulary::{TokenKind, Vocabulary};
use super::{DemoArchitecture, DemoModel, DemoReplies};
use crate::model::gguf::GgufTensorType;

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
/// How far the random part moves a token's score.
const SCORE_SPREAD: f32 = 0.7;
/// What [`IN_JSON`] adds to the quotation mark's score: strings end after a few words.
const IN_JSON_QUOTE: f32 = 7.0;
/// What [`MAY_CALL`] adds to the score of the tag that opens a call: nothing else is said.
const MAY_CALL_TAG: f32 = 45.0;
/// A bias that rules a token out, unless nothing else is allowed.
const NEVER: f32 = -30.0;

/// A tensor to be written.
pub(super) struct TensorPlan {
    pub(super) name: String,
    pub(super) tensor_type: GgufTensorType,
    pub(super) shape: Vec<u64>,
    role: Role,
}

/// How a tensor is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Embedding,
    Output,
    OutputNorm,
    Norm,
    /// As `Norm`, for the queries of the first layer.
    FirstQueryNorm,
    Bias,
    /// Reads the embedding: random.
    Read,
    /// As `Read`, and two heads ask for their tokens.
    FirstQuery,
    FirstKey,
    FirstValue,
    /// Writes to the embedding: random, and nothing to the reserved dimensions.
    Write,
    /// As `Write`, and the two heads write what they found.
    FirstWrite,
}

/// Lists the tensors in the file's order.
pub(super) fn plan(model: &DemoModel, vocabulary_length: u32) -> Vec<TensorPlan> {
    let matrix_type = model.precision.tensor_type();
    let (embedding, inner) = (
        u64::from(model.embedding_length),
        u64::from(model.feed_forward_length),
    );
    let head = u64::from(model.head_length());
    let keys = head * u64::from(model.head_count_kv);
    let vocabulary = u64::from(vocabulary_length);

    let mut plans = Vec::new();
    let matrix =
        |plans: &mut Vec<TensorPlan>, name: String, inputs: u64, outputs: u64, role: Role| {
            plans.push(TensorPlan {
                name,
                tensor_type: matrix_type,
                shape: vec![inputs, outputs],
                role,
            });
        };
    let vector = |plans: &mut Vec<TensorPlan>, name: String, length: u64, role: Role| {
        plans.push(TensorPlan {
            name,
            tensor_type: GgufTensorType::F32,
            shape: vec![length],
            role,
        });
    };
    matrix(
        &mut plans,
        "token_embd.weight".to_owned(),
        embedding,
        vocabulary,
        Role::Embedding,
    );
    for block in 0..model.block_count {
        let name = |part: &str| format!("blk.{block}.{part}");
        let in_first = |first: Role, later: Role| if block == 0 { first } else { later };
        vector(&mut plans, name("attn_norm.weight"), embedding, Role::Norm);
        matrix(
            &mut plans,
            name("attn_q.weight"),
            embedding,
            embedding,
            in_first(Role::FirstQuery, Role::Read),
        );
        matrix(
            &mut plans,
            name("attn_k.weight"),
            embedding,
            keys,
            in_first(Role::FirstKey, Role::Read),
        );
        matrix(
            &mut plans,
            name("attn_v.weight"),
            embedding,
            keys,
            in_first(Role::FirstValue, Role::Read),
        );
        match model.architecture {
            DemoArchitecture::Llama => {}
            DemoArchitecture::Qwen2 => {
                vector(&mut plans, name("attn_q.bias"), embedding, Role::Bias);
                vector(&mut plans, name("attn_k.bias"), keys, Role::Bias);
                vector(&mut plans, name("attn_v.bias"), keys, Role::Bias);
            }
            DemoArchitecture::Qwen3 => {
                vector(
                    &mut plans,
                    name("attn_q_norm.weight"),
                    head,
                    in_first(Role::FirstQueryNorm, Role::Norm),
                );
                vector(&mut plans, name("attn_k_norm.weight"), head, Role::Norm);
            }
        }
        matrix(
            &mut plans,
            name("attn_output.weight"),
            embedding,
            embedding,
            in_first(Role::FirstWrite, Role::Write),
        );
        vector(&mut plans, name("ffn_norm.weight"), embedding, Role::Norm);
        matrix(
            &mut plans,
            name("ffn_gate.weight"),
            embedding,
            inner,
            Role::Read,
        );
        matrix(
            &mut plans,
            name("ffn_up.weight"),
            embedding,
            inner,
            Role::Read,
        );
        matrix(
            &mut plans,
            name("ffn_down.weight"),
            inner,
            embedding,
            Role::Write,
        );
    }
    vector(
        &mut plans,
        "output_norm.weight".to_owned(),
        embedding,
        Role::OutputNorm,
    );
    matrix(
        &mut plans,
        "output.weight".to_owned(),
        embedding,
        vocabulary,
        Role::Output,
    );
    plans
}

/// Makes a tensor's bytes.
pub(super) fn fill(plan: &TensorPlan, model: &DemoModel, vocabulary: &Vocabulary) -> Vec<u8> {
    let mut random = Random::new(model.seed, &plan.name);
    let inputs = plan.shape.first().map_or(0, |length| *length as usize);
    let rows = plan.shape.get(1).map_or(1, |length| *length as usize);
    let mut numbers = Vec::with_capacity(inputs * rows);
    let spread = spread_of(plan.role, inputs);
    let kinds: Vec<TokenKind> = vocabulary.kinds().collect();
    for row in 0..rows {
        let start = numbers.len();
        numbers.extend((0..inputs).map(|_| random.normal() * spread));
        let row_numbers = numbers.get_mut(start..).unwrap_or_default();
        shape_row(plan.role, row, row_numbers, model, kinds.get(row).copied());
    }
    if plan.tensor_type == GgufTensorType::F16 {
        numbers
            .iter()
            .flat_map(|number| half_bits(*number).to_le_bytes())
            .collect()
    } else {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }
}

/// The standard deviation of the random part: a matrix keeps the size of what it is given.
fn spread_of(role: Role, inputs: usize) -> f32 {
    let unit = 1.0 / (inputs as f32).sqrt();
    match role {
        Role::Embedding => 1.0,
        Role::Output => SCORE_SPREAD * unit,
        Role::OutputNorm | Role::Norm | Role::FirstQueryNorm | Role::Bias => 0.0,
        Role::Read | Role::FirstQuery | Role::FirstKey | Role::FirstValue => unit,
        Role::Write | Role::FirstWrite => 0.3 * unit,
    }
}

/// Sets what is not random in one row of a tensor.
fn shape_row(
    role: Role,
    row: usize,
    numbers: &mut [f32],
    model: &DemoModel,
    kind: Option<TokenKind>,
) {
    let asking = AskingHeads::of(model);
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
            let scaled_if =
                |wanted: TokenKind, bias: f32| if kind == wanted { bias * scale } else { 0.0 };
            reserve(numbers, 0.0);
            set(numbers, CONSTANT, bias_of(kind, model.replies) * scale);
            set(numbers, IN_JSON, scaled_if(TokenKind::Quote, IN_JSON_QUOTE));
            set(numbers, NEWLINE, scaled_if(TokenKind::EndOfTurn, NEVER));
            set(
                numbers,
                MAY_CALL,
                scaled_if(TokenKind::ToolCall, MAY_CALL_TAG),
            );
        }
        Role::OutputNorm => {
            numbers.fill(1.0);
            reserve(numbers, READ_SCALE);
        }
        Role::Norm => numbers.fill(1.0),
        Role::FirstQueryNorm => {
            numbers.fill(1.0);
            // The norm takes away how strongly the heads ask; this gives it back.
            [asking.brace_key(), asking.tools_key()]
                .into_iter()
                .for_each(|index| set(numbers, index, 8.0));
        }
        Role::FirstQuery => asking.shape_query(row, numbers),
        Role::FirstKey => asking.shape_key(row, numbers),
        Role::FirstValue => asking.shape_value(row, numbers),
        Role::Write | Role::FirstWrite if row < RESERVED => {
            numbers.fill(0.0);
            if role == Role::FirstWrite {
                asking.shape_write(row, numbers);
            }
        }
        Role::Bias | Role::Read | Role::Write | Role::FirstWrite => {}
    }
}

/// The two heads of the first layer that look for one token each, anywhere before.
#[derive(Clone, Copy)]
struct AskingHeads {
    head_length: usize,
    heads_per_key: usize,
}

impl AskingHeads {
    fn of(model: &DemoModel) -> Self {
        let heads_per_key = model.head_count / model.head_count_kv;
        Self {
            head_length: model.head_length() as usize,
            heads_per_key: heads_per_key as usize,
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

    fn shape_query(self, row: usize, numbers: &mut [f32]) {
        if row < 2 * self.head_length {
            let asks = row == self.brace_key() || row == self.head_length + self.tools_key();
            only(numbers, CONSTANT, if asks { 2.0 } else { 0.0 });
        }
    }

    fn shape_key(self, row: usize, numbers: &mut [f32]) {
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

    fn shape_value(self, row: usize, numbers: &mut [f32]) {
        if row == self.key_start(0) {
            only(numbers, BRACE, 1.0);
        } else if row == self.key_start(1) + 1 {
            only(numbers, TOOLS, 1.0);
        }
    }

    fn shape_write(self, row: usize, numbers: &mut [f32]) {
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
            DemoReplies::Endless => NEVER,
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
    numbers
        .iter_mut()
        .take(RESERVED)
        .for_each(|number| *number = value);
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

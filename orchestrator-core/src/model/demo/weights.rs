//! The demo model's tensors: random, but for three dimensions of the embedding.
//!
//! - [`CONSTANT`] is the same for every token, and the output matrix reads it as a bias: words are likely, bytes are
//!   not, and the end of the turn is about as likely as one word.
//! - [`BRACE`] is set in the embedding of `{` alone.
//! - [`IN_JSON`] is set by one attention head of the first layer once a `{` stands anywhere before, and the output
//!   matrix reads it as a bias for the quotation mark: strings of a JSON answer come to an end.
//!
//! No other tensor writes to these three.

use super::random::{Random, half_bits};
use super::vocabulary::{TokenKind, Vocabulary};
use super::{DemoArchitecture, DemoModel, DemoReplies};
use crate::model::gguf::GgufTensorType;

const CONSTANT: usize = 0;
const BRACE: usize = 1;
const IN_JSON: usize = 2;
const RESERVED: usize = 3;

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
    Bias,
    /// Reads the embedding: random.
    Read,
    /// As `Read`, and the first head asks for the brace.
    FirstQuery,
    FirstKey,
    FirstValue,
    /// Writes to the embedding: random, and nothing to the reserved dimensions.
    Write,
    /// As `Write`, and the first head writes [`IN_JSON`].
    FirstWrite,
}

/// Lists the tensors in the file's order.
pub(super) fn plan(model: &DemoModel, vocabulary_length: u32) -> Vec<TensorPlan> {
    let matrix_type = model.precision.tensor_type();
    let (embedding, inner) = (u64::from(model.embedding_length), u64::from(model.feed_forward_length));
    let head = u64::from(model.head_length());
    let keys = head * u64::from(model.head_count_kv);
    let vocabulary = u64::from(vocabulary_length);

    let mut plans = Vec::new();
    let matrix = |plans: &mut Vec<TensorPlan>, name: String, inputs: u64, outputs: u64, role: Role| {
        plans.push(TensorPlan { name, tensor_type: matrix_type, shape: vec![inputs, outputs], role });
    };
    let vector = |plans: &mut Vec<TensorPlan>, name: String, length: u64, role: Role| {
        plans.push(TensorPlan { name, tensor_type: GgufTensorType::F32, shape: vec![length], role });
    };
    matrix(&mut plans, "token_embd.weight".to_owned(), embedding, vocabulary, Role::Embedding);
    for block in 0..model.block_count {
        let name = |part: &str| format!("blk.{block}.{part}");
        let in_first = |first: Role, later: Role| if block == 0 { first } else { later };
        vector(&mut plans, name("attn_norm.weight"), embedding, Role::Norm);
        matrix(&mut plans, name("attn_q.weight"), embedding, embedding, in_first(Role::FirstQuery, Role::Read));
        matrix(&mut plans, name("attn_k.weight"), embedding, keys, in_first(Role::FirstKey, Role::Read));
        matrix(&mut plans, name("attn_v.weight"), embedding, keys, in_first(Role::FirstValue, Role::Read));
        match model.architecture {
            DemoArchitecture::Llama => {}
            DemoArchitecture::Qwen2 => {
                vector(&mut plans, name("attn_q.bias"), embedding, Role::Bias);
                vector(&mut plans, name("attn_k.bias"), keys, Role::Bias);
                vector(&mut plans, name("attn_v.bias"), keys, Role::Bias);
            }
            DemoArchitecture::Qwen3 => {
                vector(&mut plans, name("attn_q_norm.weight"), head, Role::Norm);
                vector(&mut plans, name("attn_k_norm.weight"), head, Role::Norm);
            }
        }
        matrix(&mut plans, name("attn_output.weight"), embedding, embedding, in_first(Role::FirstWrite, Role::Write));
        vector(&mut plans, name("ffn_norm.weight"), embedding, Role::Norm);
        matrix(&mut plans, name("ffn_gate.weight"), embedding, inner, Role::Read);
        matrix(&mut plans, name("ffn_up.weight"), embedding, inner, Role::Read);
        matrix(&mut plans, name("ffn_down.weight"), inner, embedding, Role::Write);
    }
    vector(&mut plans, "output_norm.weight".to_owned(), embedding, Role::OutputNorm);
    matrix(&mut plans, "output.weight".to_owned(), embedding, vocabulary, Role::Output);
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
        numbers.iter().flat_map(|number| half_bits(*number).to_le_bytes()).collect()
    } else {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }
}

/// The standard deviation of the random part: a matrix keeps the size of what it is given.
fn spread_of(role: Role, inputs: usize) -> f32 {
    let unit = 1.0 / (inputs as f32).sqrt();
    match role {
        Role::Embedding => 1.0,
        Role::Output => SCORE_SPREAD * unit,
        Role::OutputNorm | Role::Norm | Role::Bias => 0.0,
        Role::Read | Role::FirstQuery | Role::FirstKey | Role::FirstValue => unit,
        Role::Write | Role::FirstWrite => 0.3 * unit,
    }
}

/// Sets what is not random in one row of a tensor.
fn shape_row(role: Role, row: usize, numbers: &mut [f32], model: &DemoModel, kind: Option<TokenKind>) {
    let head = model.head_length() as usize;
    // The pair of numbers that the positions turn slowest; its second is the same in both ways of pairing them.
    let slowest = head - 1;
    match role {
        Role::Embedding => {
            set(numbers, CONSTANT, SIGNAL);
            set(numbers, BRACE, if kind == Some(TokenKind::OpenBrace) { SIGNAL } else { 0.0 });
            set(numbers, IN_JSON, 0.0);
        }
        Role::Output => {
            let scale = 1.0 / (NORMALISED_SIGNAL * READ_SCALE);
            let kind = kind.unwrap_or(TokenKind::OtherByte);
            set(numbers, CONSTANT, bias_of(kind, model.replies) * scale);
            set(numbers, BRACE, 0.0);
            set(numbers, IN_JSON, if kind == TokenKind::Quote { IN_JSON_QUOTE * scale } else { 0.0 });
        }
        Role::OutputNorm => {
            numbers.fill(1.0);
            (0..RESERVED).for_each(|dimension| set(numbers, dimension, READ_SCALE));
        }
        Role::Norm => numbers.fill(1.0),
        Role::Bias | Role::Read => {}
        Role::FirstQuery if row < head => only(numbers, CONSTANT, if row == slowest { 2.0 } else { 0.0 }),
        Role::FirstKey if row < head => only(numbers, BRACE, if row == slowest { 2.0 } else { 0.0 }),
        Role::FirstValue if row == 0 => only(numbers, BRACE, 1.0),
        Role::FirstQuery | Role::FirstKey | Role::FirstValue => {}
        Role::Write | Role::FirstWrite if row < RESERVED => {
            let writes_flag = role == Role::FirstWrite && row == IN_JSON;
            only(numbers, 0, if writes_flag { 1.5 } else { 0.0 });
        }
        Role::Write | Role::FirstWrite => {}
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
        TokenKind::Quote | TokenKind::OpenBrace | TokenKind::Structure => -4.0,
        TokenKind::Digit => -5.0,
        TokenKind::Space | TokenKind::Letter | TokenKind::WordPiece => -8.0,
        TokenKind::OtherByte => -12.0,
        TokenKind::TemplateMark => NEVER,
    }
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

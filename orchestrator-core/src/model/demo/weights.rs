//! The demo model's tensors: which there are, and their random part.

use super::random::{Random, half_bits};
use super::shape::{Shape, shape_row};
use super::vocabulary::{TokenKind, Vocabulary};
use super::{DemoArchitecture, DemoModel};
use crate::model::gguf::GgufTensorType;

/// How far the random part moves a token's score.
const SCORE_SPREAD: f32 = 0.7;

/// A tensor to be written.
pub(super) struct TensorPlan {
    pub(super) name: String,
    pub(super) tensor_type: GgufTensorType,
    /// The dimensions, the contiguous one first.
    pub(super) shape: Vec<u32>,
    role: Role,
}

/// How a tensor is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
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
    let (embedding, inner) = (model.embedding_length, model.feed_forward_length);
    let head = model.head_length();
    let keys = head * model.head_count_kv;

    let mut plans = Vec::new();
    let matrix = |plans: &mut Vec<TensorPlan>, name: String, inputs: u32, outputs: u32, role: Role| {
        plans.push(TensorPlan { name, tensor_type: matrix_type, shape: vec![inputs, outputs], role });
    };
    let vector = |plans: &mut Vec<TensorPlan>, name: String, length: u32, role: Role| {
        plans.push(TensorPlan { name, tensor_type: GgufTensorType::F32, shape: vec![length], role });
    };
    matrix(&mut plans, "token_embd.weight".to_owned(), embedding, vocabulary_length, Role::Embedding);
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
                vector(&mut plans, name("attn_q_norm.weight"), head, in_first(Role::FirstQueryNorm, Role::Norm));
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
    matrix(&mut plans, "output.weight".to_owned(), embedding, vocabulary_length, Role::Output);
    plans
}

/// Makes a tensor's bytes.
pub(super) fn fill(plan: &TensorPlan, model: &DemoModel, vocabulary: &Vocabulary) -> Vec<u8> {
    let mut random = Random::new(model.seed, &plan.name);
    let inputs = plan.shape.first().map_or(0, |length| *length as usize);
    let rows = plan.shape.get(1).map_or(1, |length| *length as usize);
    let kinds: Vec<TokenKind> = vocabulary.kinds().collect();
    let spread = spread_of(plan.role, inputs);
    let shape = Shape::of(model);
    let mut bytes = Vec::new();
    let mut numbers = vec![0.0; inputs];
    for row in 0..rows {
        numbers.fill_with(|| random.normal() * spread);
        shape_row(plan.role, row, &mut numbers, shape, kinds.get(row).copied());
        for number in &numbers {
            if plan.tensor_type == GgufTensorType::F16 {
                bytes.extend(half_bits(*number).to_le_bytes());
            } else {
                bytes.extend(number.to_le_bytes());
            }
        }
    }
    bytes
}

/// The standard deviation of the random part: a matrix keeps the size of what it is given.
fn spread_of(role: Role, inputs: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "lengths are checked to be at most 65,536")]
    let unit = 1.0 / (inputs as f32).sqrt();
    match role {
        Role::Embedding => 1.0,
        Role::Output => SCORE_SPREAD * unit,
        Role::OutputNorm | Role::Norm | Role::FirstQueryNorm | Role::Bias => 0.0,
        Role::Read | Role::FirstQuery | Role::FirstKey | Role::FirstValue => unit,
        Role::Write | Role::FirstWrite => 0.3 * unit,
    }
}

//! `config.json` of a model for `transformers`: what its memory and its needs follow from.

use std::io::Read;

use serde_json::Value;

use super::SafetensorsLimits;
use super::error::{SafetensorsError, bad_json};
use super::index::read_document;

/// What attention a layer has, as far as its cache is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerAttention {
    /// Over the whole context.
    Full,
    /// Over a window of the last tokens.
    Sliding,
    /// None: it keeps a state of a fixed size.
    Recurrent,
}

/// What a `config.json` says. What it leaves out, or says in a way that cannot be understood, is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransformersConfig {
    /// The classes that can run it, such as `LlamaForCausalLM`.
    pub architectures: Vec<String>,
    /// The family, such as `llama`.
    pub model_type: Option<String>,
    /// How many layers it has.
    pub layer_count: Option<u64>,
    /// How many attention heads.
    pub head_count: Option<u64>,
    /// How many heads of keys and values.
    pub head_count_kv: Option<u64>,
    /// The length of a key and of a value of one head.
    pub head_length: Option<u64>,
    /// The length of an embedding.
    pub embedding_length: Option<u64>,
    /// The width of the feed-forward layers.
    pub feed_forward_length: Option<u64>,
    /// The context it was trained for, in tokens.
    pub context_length: Option<u64>,
    /// How many tokens its vocabulary has.
    pub vocabulary_length: Option<u64>,
    /// The type it computes in, such as `bfloat16`.
    pub dtype: Option<String>,
    /// How its weights were quantised, such as `awq`.
    pub quantisation: Option<String>,
    /// The window of layers that do not attend to the whole context, in tokens.
    pub sliding_window: Option<u64>,
    /// The attention of each layer, where it is listed.
    pub layer_attention: Vec<LayerAttention>,
    /// Whether it can only be run with program code that it brings along.
    pub needs_remote_code: bool,
}

impl TransformersConfig {
    /// The name under which it lies beside the weights.
    pub const FILE_NAME: &str = "config.json";
    /// How many layers or architectures are taken over at most.
    const MOST: usize = 10_000;

    /// Reads a configuration from `input`, to its end.
    pub fn read_from<R: Read>(input: R, limits: &SafetensorsLimits) -> Result<Self, SafetensorsError> {
        let bytes = read_document(input, "`config.json`", limits.config_bytes)?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|error| bad_json("`config.json`", &error))?;
        if !document.is_object() {
            return Err(SafetensorsError::BadJson { what: "`config.json`", reason: "it is no object".to_owned() });
        }
        Ok(Self::of(&document))
    }

    fn of(document: &Value) -> Self {
        // Models that also see or hear keep what is about text in a part of its own.
        let nested = ["text_config", "llm_config", "language_config"];
        let inner = nested.iter().find_map(|key| document.get(key)).filter(|part| part.is_object()).unwrap_or(document);
        let find =
            |names: &[&str]| names.iter().find_map(|name| inner.get(name).or_else(|| document.get(name)).filter(|value| !value.is_null()));
        let number = |names: &[&str]| find(names).and_then(Value::as_u64);
        let text = |names: &[&str]| find(names).and_then(Value::as_str).map(short);
        let head_count = number(&["num_attention_heads", "n_head", "num_heads"]);
        let embedding_length = number(&["hidden_size", "n_embd", "d_model"]);
        let per_head = || embedding_length?.checked_div(head_count?);
        let uses_window = find(&["use_sliding_window"]).and_then(Value::as_bool).unwrap_or(true);
        let quantisation = find(&["quantization_config"]);
        let architectures = document.get("architectures").and_then(Value::as_array);
        Self {
            architectures: architectures.into_iter().flatten().filter_map(Value::as_str).take(16).map(short).collect(),
            model_type: document.get("model_type").and_then(Value::as_str).map(short),
            layer_count: number(&["num_hidden_layers", "n_layer", "num_layers"]),
            head_count,
            head_count_kv: number(&["num_key_value_heads", "num_kv_heads", "multi_query_group_num"]).or(head_count),
            head_length: number(&["head_dim"]).or_else(per_head),
            embedding_length,
            feed_forward_length: number(&["intermediate_size", "n_inner", "ffn_dim"]),
            context_length: number(&["max_position_embeddings", "n_positions", "max_seq_len", "seq_length"]),
            vocabulary_length: number(&["vocab_size"]),
            dtype: text(&["dtype", "torch_dtype"]),
            quantisation: quantisation
                .and_then(|part| part.get("quant_method").or_else(|| part.get("quant_algo")))
                .and_then(Value::as_str)
                .map(short),
            sliding_window: number(&["sliding_window"]).filter(|window| *window > 0 && uses_window),
            layer_attention: find(&["layer_types"])
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .take(Self::MOST)
                .map(attention)
                .collect(),
            needs_remote_code: document.get("auto_map").and_then(Value::as_object).is_some_and(|map| !map.is_empty()),
        }
    }

    /// Returns the attention of a layer, counted from 0.
    #[must_use]
    pub fn attention_of(&self, layer: u64) -> LayerAttention {
        let listed = usize::try_from(layer).ok().and_then(|layer| self.layer_attention.get(layer)).copied();
        listed.unwrap_or(match self.sliding_window {
            Some(_) if self.layer_attention.is_empty() => LayerAttention::Sliding,
            _ => LayerAttention::Full,
        })
    }
}

fn attention(layer: &Value) -> LayerAttention {
    match layer.as_str() {
        Some("sliding_attention" | "chunked_attention") => LayerAttention::Sliding,
        Some("linear_attention" | "mamba" | "conv" | "recurrent") => LayerAttention::Recurrent,
        _ => LayerAttention::Full,
    }
}

/// Keeps a name that can be shown.
fn short(text: &str) -> String {
    text.chars().filter(|each| !each.is_control()).take(128).collect()
}

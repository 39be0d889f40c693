//! The questions the program asks of a header.

use std::collections::BTreeMap;

use super::{GgufHeader, GgufTensorType, GgufValue};

/// A count that is the same in every layer, or given layer by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GgufPerLayer {
    /// The same in every layer.
    Uniform(u64),
    /// One for each layer, the first layer first.
    Listed(Vec<u64>),
}

impl GgufPerLayer {
    /// Returns the count in `layer`, counted from 0; `None` past the end of a list.
    #[must_use]
    pub fn in_layer(&self, layer: usize) -> Option<u64> {
        match self {
            Self::Uniform(count) => Some(*count),
            Self::Listed(counts) => counts.get(layer).copied(),
        }
    }

    /// Returns the largest count.
    #[must_use]
    pub fn max(&self) -> u64 {
        match self {
            Self::Uniform(count) => *count,
            Self::Listed(counts) => counts.iter().copied().max().unwrap_or(0),
        }
    }
}

/// Which part of a model a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GgufSplit {
    /// This file's number, counted from 0. Only part 0 has the model's metadata.
    pub number: u64,
    /// How many files the model has.
    pub count: u64,
}

/// What the quantiser says it made, by `general.file_type`.
const FILE_TYPES: [(u64, &str); 36] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
    (39, "NVFP4"),
    (40, "Q1_0"),
    (41, "Q2_0"),
];

impl GgufHeader {
    /// Returns a metadata value by its full key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.get(key)
    }

    /// Returns the architecture, such as `llama` or `qwen3`.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        self.text("general.architecture")
    }

    /// Returns the name its makers gave the model.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text("general.name")
    }

    /// Returns the number of the file type.
    #[must_use]
    pub fn file_type(&self) -> Option<u64> {
        self.get("general.file_type").and_then(GgufValue::as_u64)
    }

    /// Returns the quantisation, such as `Q4_K_M`: what the file says, or else the type most of its bytes have.
    #[must_use]
    pub fn quantisation(&self) -> Option<&'static str> {
        // Added to the number when the writer derived it from the tensors.
        const GUESSED: u64 = 1024;
        let stated = self.file_type().map(|number| number & !GUESSED);
        let named = stated.and_then(|number| FILE_TYPES.iter().find(|(row, _)| *row == number));
        named.map(|(_, name)| *name).or_else(|| self.dominant_type().and_then(GgufTensorType::name))
    }

    /// Returns the context length the model was trained for, in tokens.
    #[must_use]
    pub fn context_length(&self) -> Option<u64> {
        self.count("context_length")
    }

    /// Returns the number of layers.
    #[must_use]
    pub fn block_count(&self) -> Option<u64> {
        self.count("block_count")
    }

    /// Returns the length of an embedding.
    #[must_use]
    pub fn embedding_length(&self) -> Option<u64> {
        self.count("embedding_length")
    }

    /// Returns the width of the feed-forward layers.
    #[must_use]
    pub fn feed_forward_length(&self) -> Option<u64> {
        self.per_layer("feed_forward_length").map(|widths| widths.max())
    }

    /// Returns the number of attention heads.
    #[must_use]
    pub fn head_count(&self) -> Option<GgufPerLayer> {
        self.per_layer("attention.head_count")
    }

    /// Returns the number of key and value heads: without a key of its own, that of the attention heads.
    #[must_use]
    pub fn head_count_kv(&self) -> Option<GgufPerLayer> {
        self.per_layer("attention.head_count_kv").or_else(|| self.head_count())
    }

    /// Returns the length of a key of one head: without a key of its own, the embedding divided among the heads.
    #[must_use]
    pub fn key_length(&self) -> Option<u64> {
        self.count("attention.key_length").or_else(|| self.embedding_per_head())
    }

    /// Returns the length of a value of one head: without a key of its own, the embedding divided among the heads.
    #[must_use]
    pub fn value_length(&self) -> Option<u64> {
        self.count("attention.value_length").or_else(|| self.embedding_per_head())
    }

    /// Returns the window of layers that do not attend to the whole context, in tokens.
    #[must_use]
    pub fn sliding_window(&self) -> Option<u64> {
        self.count("attention.sliding_window").filter(|window| *window > 0)
    }

    /// Says whether the file carries a chat template.
    #[must_use]
    pub fn has_chat_template(&self) -> bool {
        self.text("tokenizer.chat_template").is_some_and(|template| !template.is_empty())
    }

    /// Returns the kind of tokenizer, such as `gpt2` or `llama`.
    #[must_use]
    pub fn tokenizer_model(&self) -> Option<&str> {
        self.text("tokenizer.ggml.model")
    }

    /// Returns the number of tokens in the vocabulary.
    #[must_use]
    pub fn vocabulary_length(&self) -> Option<u64> {
        let tokens = self.get("tokenizer.ggml.tokens").and_then(GgufValue::as_array);
        tokens.map(super::GgufArray::len).or_else(|| self.count("vocab_size"))
    }

    /// Returns the number of parameters in this file's tensors.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.parameters()))
    }

    /// Returns the bytes of this file's tensors, without padding.
    #[must_use]
    pub fn weights_bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
    }

    /// Returns where the last tensor ends, in bytes from the data offset.
    #[must_use]
    pub fn data_end(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.offset.saturating_add(tensor.bytes)).max().unwrap_or(0)
    }

    /// Returns which part of a model this file is; `None` when it is the whole model.
    #[must_use]
    pub fn split(&self) -> Option<GgufSplit> {
        let count = self.get("split.count").and_then(GgufValue::as_u64).filter(|count| *count > 1)?;
        let number = self.get("split.no").and_then(GgufValue::as_u64)?;
        Some(GgufSplit { number, count })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(GgufValue::as_str)
    }

    /// Returns the value of a key that begins with the architecture's name.
    pub(crate) fn of_architecture(&self, key: &str) -> Option<&GgufValue> {
        self.get(&format!("{}.{key}", self.architecture()?))
    }

    /// Returns a number whose key begins with the architecture's name.
    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        self.of_architecture(key).and_then(GgufValue::as_u64)
    }

    /// Returns a number for each layer whose key begins with the architecture's name.
    pub(crate) fn per_layer(&self, key: &str) -> Option<GgufPerLayer> {
        let value = self.of_architecture(key)?;
        match value.as_array() {
            None => value.as_u64().map(GgufPerLayer::Uniform),
            Some(list) => list.items()?.iter().map(GgufValue::as_u64).collect::<Option<_>>().map(GgufPerLayer::Listed),
        }
    }

    fn embedding_per_head(&self) -> Option<u64> {
        self.embedding_length()?.checked_div(self.head_count()?.max())
    }

    fn dominant_type(&self) -> Option<GgufTensorType> {
        let mut bytes_by_type: BTreeMap<u32, u64> = BTreeMap::new();
        for tensor in &self.tensors {
            let bytes = bytes_by_type.entry(tensor.tensor_type.number()).or_default();
            *bytes = bytes.saturating_add(tensor.bytes);
        }
        let (number, _) = bytes_by_type.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        Some(GgufTensorType::from_number(number))
    }
}

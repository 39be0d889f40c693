//! Models by their shapes: every tensor an engine asks for, and nothing in it.

use std::io;

use orchestrator_core::model::gguf::{GgufArray, GgufTensorType, GgufValue, GgufValueType, GgufWriter};

/// What a model is made of.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) layers: u32,
    pub(crate) embedding: u32,
    pub(crate) inner: u32,
    pub(crate) heads: u32,
    /// The heads of keys and values of each layer; the same in all, for one number.
    pub(crate) heads_kv: Vec<u32>,
    pub(crate) head_length: u32,
    pub(crate) vocabulary: u32,
    /// Whether the embedding serves as the output, too.
    pub(crate) tied: bool,
    /// The window of the layers that have one.
    pub(crate) window: Option<u32>,
    pub(crate) experts: Option<Experts>,
    pub(crate) weights: Weights,
}

/// A mixture of experts.
#[derive(Clone, Copy)]
pub(crate) struct Experts {
    pub(crate) count: u32,
    pub(crate) used: u32,
    pub(crate) inner: u32,
}

/// How the matrices are stored.
#[derive(Clone, Copy)]
pub(crate) enum Weights {
    F16,
    Q8,
    Q4K,
}

impl Weights {
    fn tensor_type(self) -> GgufTensorType {
        GgufTensorType::from_number(match self {
            Self::F16 => 1,
            Self::Q8 => 8,
            Self::Q4K => 12,
        })
    }
}

impl Shape {
    /// Describes the file.
    pub(crate) fn writer(&self) -> io::Result<GgufWriter> {
        let mut writer = GgufWriter::new(self.architecture).with("general.name", self.name);
        self.describe(&mut writer);
        self.describe_tokenizer(&mut writer);
        self.add_tensors(&mut writer)?;
        Ok(writer)
    }

    fn describe(&self, writer: &mut GgufWriter) {
        let mut set = |key: &str, value: GgufValue| writer.set(&format!("{}.{key}", self.architecture), value);
        set("context_length", 131_072_u32.into());
        set("embedding_length", self.embedding.into());
        set("block_count", self.layers.into());
        set("feed_forward_length", self.inner.into());
        set("attention.head_count", self.heads.into());
        match self.heads_kv.as_slice() {
            [one] => set("attention.head_count_kv", (*one).into()),
            each => set("attention.head_count_kv", GgufArray::of_u32(each.iter().copied()).into()),
        }
        set("attention.key_length", self.head_length.into());
        set("attention.value_length", self.head_length.into());
        set("rope.dimension_count", self.head_length.into());
        set("attention.layer_norm_rms_epsilon", 1e-6_f32.into());
        set("rope.freq_base", 1_000_000.0_f32.into());
        if let Some(window) = self.window {
            set("attention.sliding_window", window.into());
        }
        if let Some(Experts { count, used, inner }) = self.experts {
            set("expert_count", count.into());
            set("expert_used_count", used.into());
            set("expert_feed_forward_length", inner.into());
        }
    }

    /// Describes a tokenizer with a token for every byte and many that are never met.
    fn describe_tokenizer(&self, writer: &mut GgufWriter) {
        // How the tokenizer writes bytes that have no letter of their own.
        let mut bytes: Vec<String> = (33..=126).chain(161..=172).chain(174..=255).filter_map(char::from_u32).map(String::from).collect();
        bytes.extend((256..).filter_map(char::from_u32).map(String::from).take(256 - bytes.len()));
        let others = (0..self.vocabulary.saturating_sub(256)).map(|number| format!("<token {number}>"));
        let tokens: Vec<String> = bytes.into_iter().chain(others).collect();
        let last = self.vocabulary - 1;
        writer.set("tokenizer.ggml.model", "gpt2");
        writer.set("tokenizer.ggml.pre", "gpt-2");
        writer.set("tokenizer.ggml.token_type", GgufArray::of_i32(tokens.iter().map(|_| 1)));
        writer.set("tokenizer.ggml.tokens", GgufArray::of_strings(tokens));
        if let Some(merges) = GgufArray::try_new(GgufValueType::String, vec!["a b".into()]) {
            writer.set("tokenizer.ggml.merges", merges);
        }
        writer.set("tokenizer.ggml.bos_token_id", last);
        writer.set("tokenizer.ggml.eos_token_id", last);
        writer.set("tokenizer.ggml.add_bos_token", false);
        writer.set("tokenizer.chat_template", "{% for message in messages %}{{ message['content'] }}{% endfor %}");
    }

    fn add_tensors(&self, writer: &mut GgufWriter) -> io::Result<()> {
        let (embedding, vocabulary) = (u64::from(self.embedding), u64::from(self.vocabulary));
        let matrix_type = self.weights.tensor_type();
        let mut matrix = |name: &str, shape: &[u64]| writer.tensor(&format!("{name}.weight"), matrix_type, shape);
        matrix("token_embd", &[embedding, vocabulary])?;
        if !self.tied {
            matrix("output", &[embedding, vocabulary])?;
        }
        for layer in 0..self.layers {
            self.add_layer(writer, layer)?;
        }
        writer.tensor("output_norm.weight", GgufTensorType::F32, &[embedding])
    }

    fn add_layer(&self, writer: &mut GgufWriter, layer: u32) -> io::Result<()> {
        let listed = self.heads_kv.get(layer as usize).or(self.heads_kv.first());
        let (embedding, head) = (u64::from(self.embedding), u64::from(self.head_length));
        let (queries, keys) = (head * u64::from(self.heads), head * u64::from(listed.copied().unwrap_or(0)));
        let mut matrix =
            |name: &str, shape: &[u64]| writer.tensor(&format!("blk.{layer}.{name}.weight"), self.weights.tensor_type(), shape);
        matrix("attn_q", &[embedding, queries])?;
        matrix("attn_k", &[embedding, keys])?;
        matrix("attn_v", &[embedding, keys])?;
        matrix("attn_output", &[queries, embedding])?;
        match self.experts {
            None => {
                let inner = u64::from(self.inner);
                matrix("ffn_gate", &[embedding, inner])?;
                matrix("ffn_up", &[embedding, inner])?;
                matrix("ffn_down", &[inner, embedding])?;
            }
            Some(Experts { count, inner, .. }) => {
                let (count, inner) = (u64::from(count), u64::from(inner));
                matrix("ffn_gate_exps", &[embedding, inner, count])?;
                matrix("ffn_up_exps", &[embedding, inner, count])?;
                matrix("ffn_down_exps", &[inner, embedding, count])?;
            }
        }
        let mut vector = |name: &str, shape: &[u64]| writer.tensor(&format!("blk.{layer}.{name}"), GgufTensorType::F32, shape);
        vector("attn_norm.weight", &[embedding])?;
        vector("ffn_norm.weight", &[embedding])?;
        if let Some(experts) = self.experts {
            vector("ffn_gate_inp.weight", &[embedding, u64::from(experts.count)])?;
        }
        match self.architecture {
            "qwen2" => {
                vector("attn_q.bias", &[queries])?;
                vector("attn_k.bias", &[keys])?;
                vector("attn_v.bias", &[keys])?;
            }
            "qwen3" | "qwen3moe" | "gemma3" => {
                vector("attn_q_norm.weight", &[head])?;
                vector("attn_k_norm.weight", &[head])?;
            }
            _ => {}
        }
        if matches!(self.architecture, "gemma2" | "gemma3") {
            vector("post_attention_norm.weight", &[embedding])?;
            vector("post_ffw_norm.weight", &[embedding])?;
        }
        Ok(())
    }
}

//! The demo model: a tiny model file with random weights and a complete tokenizer, made on the spot.
//!
//! Owns: what such a file contains, so that a real engine loads it, tokenises any text, answers chats with words
//! picked at random, and fills any JSON schema it is constrained to. Does not own: the file format
//! ([`super::gguf`]) or the engine. What it says is noise; everything around it is real.
//!
//! The weights are random but for a few dimensions of the embedding, which `shape` sets so that the noise is
//! made of words and ends by itself, a JSON answer closes its strings, and a request with tools gets a call. The same settings give the same bytes.

mod random;
mod shape;
mod template;
mod vocabulary;
mod weights;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use super::gguf::{GgufArray, GgufTensorType, GgufWriter};
use vocabulary::Vocabulary;

/// What a demo model is made of. The default is about a megabyte of `llama`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoModel {
    /// The name the model gives itself.
    pub name: String,
    /// The architecture the engine is told to run.
    pub architecture: DemoArchitecture,
    /// What the random weights follow from.
    pub seed: u64,
    /// The context length it claims, in tokens.
    pub context_length: u32,
    /// The length of an embedding; a multiple of 8 times `head_count`, at least 32.
    pub embedding_length: u32,
    /// The number of layers, at least 1.
    pub block_count: u32,
    /// The inner length of the feed-forward network.
    pub feed_forward_length: u32,
    /// The number of attention heads, at least 2.
    pub head_count: u32,
    /// The number of key and value heads, a divisor of `head_count`: equal is MHA, fewer is GQA, one is MQA.
    pub head_count_kv: u32,
    /// How matrices are stored.
    pub precision: DemoPrecision,
    /// Whether free text comes to an end by itself.
    pub replies: DemoReplies,
}

impl Default for DemoModel {
    fn default() -> Self {
        Self {
            name: "orchestrator-demo".to_owned(),
            architecture: DemoArchitecture::Llama,
            seed: 1,
            context_length: 4096,
            embedding_length: 128,
            block_count: 2,
            feed_forward_length: 256,
            head_count: 4,
            head_count_kv: 2,
            precision: DemoPrecision::F16,
            replies: DemoReplies::Short,
        }
    }
}

/// The architectures a demo model can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoArchitecture {
    /// Plain attention.
    Llama,
    /// With biases on queries, keys and values.
    Qwen2,
    /// With normalised queries and keys.
    Qwen3,
}

impl DemoArchitecture {
    fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// How a demo model's matrices are stored; vectors are always 32-bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoPrecision {
    /// 16-bit floating point.
    F16,
    /// 32-bit floating point.
    F32,
}

impl DemoPrecision {
    fn tensor_type(self) -> GgufTensorType {
        match self {
            Self::F16 => GgufTensorType::F16,
            Self::F32 => GgufTensorType::F32,
        }
    }

    /// The number that `general.file_type` has for it.
    fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::F32 => 0,
        }
    }
}

/// Whether free text comes to an end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoReplies {
    /// After some dozens of words, as a rule.
    Short,
    /// Never: the request's own limit ends it. Answers in JSON and tool calls do end.
    Endless,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoModelFile {
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// The number of tokens in its vocabulary.
    pub vocabulary_length: u32,
}

/// Writes a demo model to `path`: under a temporary name beside it, then synced and renamed over what was there.
/// Blocks. Refuses sizes that do not fit each other with `InvalidInput`.
pub fn write_demo_model(path: &Path, model: &DemoModel) -> io::Result<DemoModelFile> {
    model.check()?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".demo-model-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let temporary = builder.tempfile_in(folder)?;

    let vocabulary = Vocabulary::build();
    let output = model.write(&vocabulary, BufWriter::new(temporary))?;
    let temporary = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    temporary.as_file().sync_all()?;
    let bytes = temporary.as_file().metadata()?.len();
    temporary.persist(path).map_err(|refused| refused.error)?;
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(DemoModelFile { bytes, vocabulary_length: vocabulary.len() })
}

impl DemoModel {
    /// Checks that the sizes fit each other and stay small enough to be made in memory, tensor by tensor.
    fn check(&self) -> io::Result<()> {
        let refused = |problem: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("demo model: {problem}")));
        let (heads, heads_kv) = (self.head_count, self.head_count_kv);
        if !(2..=1024).contains(&heads) || heads_kv == 0 || heads % heads_kv != 0 {
            return refused("`head_count` must be 2 to 1024 and a multiple of `head_count_kv`, which may not be 0");
        }
        if !(32..=16_384).contains(&self.embedding_length) || !self.embedding_length.is_multiple_of(8 * heads) {
            return refused("`embedding_length` must be 32 to 16384 and a multiple of 8 times `head_count`");
        }
        if self.block_count == 0 || self.block_count > 256 {
            return refused("`block_count` must be 1 to 256");
        }
        if self.context_length == 0 {
            return refused("`context_length` must not be 0");
        }
        if !(1..=65_536).contains(&self.feed_forward_length) {
            return refused("`feed_forward_length` must be 1 to 65536");
        }
        Ok(())
    }

    fn head_length(&self) -> u32 {
        self.embedding_length / self.head_count
    }

    fn write<W: io::Write>(&self, vocabulary: &Vocabulary, output: W) -> io::Result<W> {
        let mut writer = GgufWriter::new(self.architecture.name());
        self.describe(&mut writer);
        describe_tokenizer(&mut writer, vocabulary);
        let plans = weights::plan(self, vocabulary.len());
        for plan in &plans {
            let shape: Vec<u64> = plan.shape.iter().copied().map(u64::from).collect();
            writer.tensor(&plan.name, plan.tensor_type, &shape)?;
        }
        let mut data = writer.write_header(output)?;
        for plan in &plans {
            data.write_tensor(&weights::fill(plan, self, vocabulary))?;
        }
        data.finish()
    }

    fn describe(&self, writer: &mut GgufWriter) {
        writer.set("general.type", "model");
        writer.set("general.name", self.name.as_str());
        writer.set("general.description", "random weights, for trying an engine: what it says is noise");
        writer.set("general.license", "mit");
        writer.set("general.file_type", self.precision.file_type());
        let architecture = self.architecture.name();
        let mut set = |key: &str, value: u32| writer.set(&format!("{architecture}.{key}"), value);
        set("context_length", self.context_length);
        set("embedding_length", self.embedding_length);
        set("block_count", self.block_count);
        set("feed_forward_length", self.feed_forward_length);
        set("attention.head_count", self.head_count);
        set("attention.head_count_kv", self.head_count_kv);
        set("attention.key_length", self.head_length());
        set("attention.value_length", self.head_length());
        set("rope.dimension_count", self.head_length());
        // The mean over the tokens, for when the engine is asked for embeddings: without it llama.cpp refuses them.
        set("pooling_type", 1);
        writer.set(&format!("{architecture}.attention.layer_norm_rms_epsilon"), 1e-6_f32);
        writer.set(&format!("{architecture}.rope.freq_base"), 1_000_000.0_f32);
    }
}

fn describe_tokenizer(writer: &mut GgufWriter, vocabulary: &Vocabulary) {
    writer.set("tokenizer.ggml.model", "gpt2");
    writer.set("tokenizer.ggml.pre", "gpt-2");
    writer.set("tokenizer.ggml.tokens", GgufArray::of_strings(vocabulary.texts()));
    writer.set("tokenizer.ggml.token_type", GgufArray::of_i32(vocabulary.type_numbers()));
    writer.set("tokenizer.ggml.merges", GgufArray::of_strings(vocabulary.merges()));
    writer.set("tokenizer.ggml.bos_token_id", vocabulary.start_of_text());
    writer.set("tokenizer.ggml.eos_token_id", vocabulary.end_of_turn());
    writer.set("tokenizer.ggml.padding_token_id", vocabulary.start_of_text());
    writer.set("tokenizer.ggml.add_bos_token", false);
    writer.set("tokenizer.chat_template", template::CHAT);
}

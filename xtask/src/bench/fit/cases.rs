//! Which models are loaded with which settings.

use std::fmt::Write as _;
use std::num::{NonZeroU16, NonZeroU32};

use orchestrator_core::memory::{CacheType, FlashAttention, LoadSettings};

use super::shape::{Experts, Shape, Weights};

/// A model and its settings.
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) settings: LoadSettings,
}

impl Case {
    /// Returns the settings as the server's arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        // Named one by one, so that a setting that matters is not forgotten here.
        let LoadSettings {
            context,
            parallel,
            layers: _,
            key_type,
            value_type,
            flash_attention,
            batch,
            micro_batch,
            unified,
            whole_window,
            cache_on_host: _,
            projector: _,
            projector_bytes: _,
            prompt_cache_bytes: _,
        } = &self.settings;
        let attention = match flash_attention {
            FlashAttention::Auto => "auto",
            FlashAttention::On => "on",
            FlashAttention::Off => "off",
        };
        let mut arguments: Vec<String> = Vec::new();
        let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        flag("--ctx-size", context.map_or(0, NonZeroU32::get).to_string());
        flag("--parallel", parallel.to_string());
        flag("--cache-type-k", key_type.to_string());
        flag("--cache-type-v", value_type.to_string());
        flag("--flash-attn", attention.to_owned());
        flag("--batch-size", batch.to_string());
        flag("--ubatch-size", micro_batch.to_string());
        if *unified {
            arguments.push("--kv-unified".to_owned());
        }
        if *whole_window {
            arguments.push("--swa-full".to_owned());
        }
        arguments
    }

    /// Returns the settings in a few words: what is not as usual.
    pub(crate) fn shown(&self) -> String {
        let LoadSettings { context, parallel, key_type, value_type, flash_attention, micro_batch, unified, whole_window, .. } =
            &self.settings;
        let mut text = format!("{} tokens", context.map_or(0, NonZeroU32::get));
        if parallel.get() > 1 {
            let _ = write!(text, ", {parallel} requests");
        }
        if *unified {
            text.push_str(", unified");
        }
        if (*key_type, *value_type) != (CacheType::F16, CacheType::F16) {
            let _ = write!(text, ", {key_type}/{value_type}");
        }
        if *flash_attention == FlashAttention::Off {
            text.push_str(", no flash attention");
        }
        if *micro_batch != 512 {
            let _ = write!(text, ", micro-batch {micro_batch}");
        }
        if *whole_window {
            text.push_str(", whole window");
        }
        text
    }
}

/// Every model with every setting, and some with several at once.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in shapes() {
        cases.extend(settings().into_iter().map(|settings| Case { shape: shape.clone(), settings }));
    }
    let whole = LoadSettings { whole_window: true, ..with(16_384, 2) };
    cases.push(Case { shape: gemma3_4b(), settings: whole });
    cases
}

pub(crate) fn with(context: u32, parallel: u16) -> LoadSettings {
    LoadSettings {
        context: NonZeroU32::new(context),
        parallel: NonZeroU16::new(parallel).unwrap_or(NonZeroU16::MIN),
        ..LoadSettings::default()
    }
}

fn settings() -> Vec<LoadSettings> {
    let off = FlashAttention::Off;
    vec![
        with(4_096, 1),
        with(32_768, 1),
        with(16_384, 4),
        with(10_000, 3),
        LoadSettings { unified: true, ..with(16_384, 4) },
        LoadSettings { key_type: CacheType::Q8, value_type: CacheType::Q8, ..with(16_384, 2) },
        LoadSettings { key_type: CacheType::Q8, value_type: CacheType::Q4, ..with(8_192, 1) },
        LoadSettings { flash_attention: off, ..with(4_096, 1) },
        LoadSettings { flash_attention: off, ..with(16_384, 4) },
        LoadSettings { micro_batch: 128, ..with(8_192, 1) },
        LoadSettings { micro_batch: 2_048, ..with(8_192, 1) },
    ]
}

fn shapes() -> Vec<Shape> {
    vec![
        llama_8b(),
        Shape { name: "llama, as 7B, MHA", heads_kv: vec![32], inner: 11_008, weights: Weights::F16, ..llama_8b() },
        llama_1b_tied(),
        qwen2_7b(),
        qwen3_8b(),
        gemma3_4b(),
        qwen3_moe(),
        mixtral(),
    ]
}

/// As wide as the real one, with fewer layers: the others are like these, and a cache takes real memory.
fn llama_8b() -> Shape {
    Shape {
        name: "llama, as 8B",
        architecture: "llama",
        layers: 4,
        embedding: 4096,
        inner: 14_336,
        heads: 32,
        heads_kv: vec![8],
        head_length: 128,
        vocabulary: 32_000,
        tied: false,
        window: None,
        experts: None,
        weights: Weights::Q8,
    }
}

pub(crate) fn llama_1b_tied() -> Shape {
    let sizes = Shape { embedding: 2048, inner: 8192, head_length: 64, tied: true, weights: Weights::Q4K, ..llama_8b() };
    Shape { name: "llama, as 1B, tied", ..sizes }
}

fn qwen2_7b() -> Shape {
    let sizes = Shape { embedding: 3584, inner: 18_944, heads: 28, heads_kv: vec![4], ..llama_8b() };
    Shape { name: "qwen2, as 7B", architecture: "qwen2", ..sizes }
}

pub(crate) fn qwen3_8b() -> Shape {
    Shape { name: "qwen3, as 8B", architecture: "qwen3", inner: 12_288, vocabulary: 151_936, ..llama_8b() }
}

pub(crate) fn gemma3_4b() -> Shape {
    Shape {
        name: "gemma3, as 4B",
        architecture: "gemma3",
        layers: 8,
        embedding: 2560,
        inner: 10_240,
        heads: 8,
        heads_kv: vec![4],
        head_length: 256,
        vocabulary: 64_000,
        tied: true,
        window: Some(1024),
        experts: None,
        weights: Weights::Q8,
    }
}

pub(crate) fn qwen3_moe() -> Shape {
    let experts = Some(Experts { count: 128, used: 8, inner: 768 });
    let sizes = Shape { embedding: 2048, inner: 6144, heads_kv: vec![4], experts, ..llama_8b() };
    Shape { name: "qwen3moe, as 30B-A3B", architecture: "qwen3moe", ..sizes }
}

fn mixtral() -> Shape {
    let experts = Some(Experts { count: 8, used: 2, inner: 14_336 });
    Shape { name: "llama, as 8x7B", experts, ..llama_8b() }
}

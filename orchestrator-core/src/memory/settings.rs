//! The settings of an instance that matter for its memory.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::InstanceSpec;
use crate::instance::spec::{Backend, ServerSpec};

/// How a number of the cache is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point, the usual one.
    #[default]
    F16,
    /// 16 bits with the range of 32.
    Bf16,
    /// Blocks of 8 bits.
    #[serde(rename = "q8_0")]
    Q8,
    /// Blocks of 5 bits.
    #[serde(rename = "q5_0")]
    Q5,
    /// Blocks of 5 bits with an offset.
    #[serde(rename = "q5_1")]
    Q5Offset,
    /// Blocks of 4 bits.
    #[serde(rename = "q4_0")]
    Q4,
    /// Blocks of 4 bits with an offset.
    #[serde(rename = "q4_1")]
    Q4Offset,
    /// Blocks of 4 bits on a curve.
    #[serde(rename = "iq4_nl")]
    Iq4Nl,
}

impl CacheType {
    /// Every type.
    pub const ALL: [Self; 9] =
        [Self::F32, Self::F16, Self::Bf16, Self::Q8, Self::Q5, Self::Q5Offset, Self::Q4, Self::Q4Offset, Self::Iq4Nl];

    /// Returns the name as engines and configurations write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8_0",
            Self::Q5 => "q5_0",
            Self::Q5Offset => "q5_1",
            Self::Q4 => "q4_0",
            Self::Q4Offset => "q4_1",
            Self::Iq4Nl => "iq4_nl",
        }
    }

    /// Returns the bytes of 32 numbers.
    #[must_use]
    pub const fn bytes_of_32(self) -> u64 {
        match self {
            Self::F32 => 128,
            Self::F16 | Self::Bf16 => 64,
            Self::Q8 => 34,
            Self::Q5 => 22,
            Self::Q5Offset => 24,
            Self::Q4 | Self::Iq4Nl => 18,
            Self::Q4Offset => 20,
        }
    }

    /// Returns the bytes of so many numbers.
    #[must_use]
    pub const fn bytes_of(self, numbers: u64) -> u64 {
        let whole = (numbers / 32).saturating_mul(self.bytes_of_32());
        whole.saturating_add(((numbers % 32) * self.bytes_of_32()).div_ceil(32))
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no type of the cache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no type of a cache; there are f32, f16, bf16, q8_0, q5_0, q5_1, q4_0, q4_1 and iq4_nl")]
pub struct UnknownCacheType {
    /// The text, with control characters escaped.
    text: String,
}

impl FromStr for CacheType {
    type Err = UnknownCacheType;

    fn from_str(text: &str) -> Result<Self, UnknownCacheType> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or_else(|| UnknownCacheType { text: text.chars().take(40).flat_map(char::escape_debug).collect() })
    }
}

/// Whether attention is computed in one pass, without a table of all pairs of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlashAttention {
    /// Where it can be had, which is nearly everywhere.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// How many layers go to a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceLayers {
    /// All of them.
    All,
    /// This many.
    Some(u32),
}

/// What decides how much memory a model takes when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadSettings {
    /// The context in tokens, over all requests at a time.
    pub context: Option<NonZeroU32>,
    /// How many requests the server works on at a time.
    pub parallel: NonZeroU16,
    /// How many layers go to the GPU. Nothing, when there is no GPU.
    pub layers: Option<DeviceLayers>,
    /// How keys are stored in the cache.
    pub key_type: CacheType,
    /// How values are stored in the cache.
    pub value_type: CacheType,
    /// How attention is computed.
    pub flash_attention: FlashAttention,
    /// How many prompt tokens are given to the engine at once.
    pub batch: u32,
    /// How many of them it works on at once.
    pub micro_batch: u32,
    /// Whether requests share one cache instead of each having its part.
    pub unified: bool,
    /// Whether layers with a window keep the whole context all the same.
    pub whole_window: bool,
    /// Whether the cache stays with the host although layers go to the GPU.
    pub cache_on_host: bool,
    /// The file that lets the model see pictures, where one is loaded with it.
    pub projector: Option<PathBuf>,
    /// The bytes of that file. Whoever knows the path alone looks at it.
    pub projector_bytes: u64,
    /// How much of the host's memory prompts that were seen may take in the course of time.
    pub prompt_cache_bytes: u64,
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self {
            context: None,
            parallel: ServerSpec::default().parallel,
            layers: None,
            key_type: CacheType::default(),
            value_type: CacheType::default(),
            flash_attention: FlashAttention::default(),
            batch: 2048,
            micro_batch: 512,
            unified: false,
            whole_window: false,
            cache_on_host: false,
            projector: None,
            projector_bytes: 0,
            prompt_cache_bytes: 0,
        }
    }
}

impl LoadSettings {
    /// Returns what an instance's own settings say, without what its `args` say to its engine.
    #[must_use]
    pub fn of_spec(spec: &InstanceSpec) -> Self {
        let on_device = spec.gpu.backend != Backend::Cpu;
        let layers = on_device.then(|| spec.gpu.layers.map_or(DeviceLayers::All, DeviceLayers::Some));
        let mut settings = Self { context: spec.model.context_size, parallel: spec.server.parallel, layers, ..Self::default() };
        if let Some(batch) = spec.model.batch_size {
            settings.batch = batch.get();
        }
        settings
    }

    /// Returns how many tokens the engine really works on at once.
    #[must_use]
    pub fn effective_micro_batch(&self) -> u64 {
        u64::from(self.micro_batch.min(self.batch).max(1))
    }
}

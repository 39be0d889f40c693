//! What is asked: a model with which settings, where.

use std::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::one_request;
use crate::error::{Coded, ErrorCode};
use crate::instance::InstanceSpec;
use crate::instance::spec::{Backend, GpuSpec};
use crate::memory::{CacheType, DeviceLayers, FlashAttention, LoadSettings};

/// With which settings a model is to fit. What is left out is as an instance would have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FitRequest {
    /// The context in tokens, over all requests at a time. A usual one, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 8192)]
    pub context: Option<NonZeroU32>,
    /// How many requests the server works on at a time. One, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 4)]
    pub parallel: Option<NonZeroU16>,
    /// How keys are stored in the cache.
    pub key_type: CacheType,
    /// How values are stored in the cache.
    pub value_type: CacheType,
    /// How attention is computed.
    pub flash_attention: FlashAttention,
    /// How many prompt tokens the engine works on at once. Its own choice, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 512)]
    pub micro_batch: Option<NonZeroU32>,
    /// Whether requests share one cache instead of each having its part.
    pub unified: bool,
    /// The device: the GPU with the most free memory, when it is left out, and the processor where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuSpec>,
}

/// A question that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// This machine does not have the device that was asked about.
    #[error("this machine has no {wanted}")]
    NoSuchDevice {
        /// The device, such as `cuda:1`.
        wanted: String,
        /// The devices there are.
        present: Vec<String>,
    },
}

impl Coded for FitError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoSuchDevice { .. } => ErrorCode::SettingUnsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchDevice { present, .. } if present.is_empty() => Some("no GPU was found; ask about `cpu`".to_owned()),
            Self::NoSuchDevice { present, .. } => Some(format!("there is: {}", present.join(", "))),
        }
    }
}

impl FitRequest {
    /// Returns the settings of an engine that this asks about, with so many layers on the GPU where one is used.
    #[must_use]
    pub fn settings(&self, layers: Option<DeviceLayers>) -> LoadSettings {
        let usual = LoadSettings::default();
        LoadSettings {
            context: self.context,
            parallel: self.parallel.unwrap_or_else(one_request),
            layers,
            key_type: self.key_type,
            value_type: self.value_type,
            flash_attention: self.flash_attention,
            micro_batch: self.micro_batch.map_or(usual.micro_batch, NonZeroU32::get),
            batch: self.micro_batch.map_or(usual.batch, |micro| micro.get().max(usual.batch)),
            unified: self.unified,
            ..usual
        }
    }

    /// Says whether an instance with this configuration is loaded as this asks.
    pub(crate) fn asks_about(&self, spec: &InstanceSpec, loaded: &LoadSettings) -> bool {
        let gpu = self.gpu.clone().unwrap_or_default();
        let layers = self.layers().map(DeviceLayers::Some);
        let asked = self.settings(loaded.layers.map(|usual| layers.unwrap_or(usual)));
        // What it keeps beside its model is not asked about.
        let LoadSettings { projector_bytes, prompt_cache_bytes, .. } = *loaded;
        let projector = loaded.projector.clone();
        spec.gpu == gpu && *loaded == LoadSettings { projector, projector_bytes, prompt_cache_bytes, ..asked }
    }

    /// Returns the layers that are asked for, where a number is.
    pub(super) fn layers(&self) -> Option<u32> {
        self.gpu.as_ref().filter(|gpu| gpu.backend != Backend::Cpu).and_then(|gpu| gpu.layers)
    }
}

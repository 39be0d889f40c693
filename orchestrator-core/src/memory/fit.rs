//! Whether a model fits: the question, the verdict with its numbers, and what would fit instead. Pure.
//!
//! | verdict | it means |
//! | --- | --- |
//! | fits | there is room, and a margin for what an estimate may be wrong by and for what grows in use |
//! | fits with layers on the host | as above, with so many layers left to the processor |
//! | tight | there is room now, and no margin |
//! | does not fit | there is no room, wherever its layers are put |

mod judge;
mod request;
mod suggestions;

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MemoryEstimate;
use crate::instance::spec::Backend;
use crate::model::{ModelHeader, ModelReference};
use crate::provider::Variant;

pub use judge::fit;
pub use request::{FitError, FitRequest};

/// Whether a model fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum FitVerdict {
    /// It fits, with a margin.
    Fits,
    /// It fits, with a margin, when the processor takes some of its layers.
    FitsWithLayersOnHost {
        /// How many layers the processor takes.
        layers: u32,
    },
    /// It fits at this moment, without a margin.
    Tight,
    /// It does not fit.
    DoesNotFit,
}

impl FitVerdict {
    /// Returns whether it can be loaded at all.
    #[must_use]
    pub const fn can_load(self) -> bool {
        !matches!(self, Self::DoesNotFit)
    }
}

impl fmt::Display for FitVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits => formatter.write_str("fits"),
            Self::FitsWithLayersOnHost { layers: 1 } => formatter.write_str("fits with 1 layer on the host"),
            Self::FitsWithLayersOnHost { layers } => write!(formatter, "fits with {layers} layers on the host"),
            Self::Tight => formatter.write_str("tight"),
            Self::DoesNotFit => formatter.write_str("does not fit"),
        }
    }
}

/// Where the numbers of a verdict come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FitConfidence {
    /// They were measured when the model was loaded with the same settings.
    Measured,
    /// They follow from the model's header.
    Estimated,
    /// No more is known than the length of its files.
    Guessed,
}

impl fmt::Display for FitConfidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Guessed => "guessed from the length of its files",
        })
    }
}

/// What is needed of one memory and what it has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FitNumbers {
    /// What the model needs.
    pub needed_bytes: u64,
    /// What should stay free besides: what the estimate may be wrong by, and what grows in use.
    pub margin_bytes: u64,
    /// What is free at this moment.
    pub available_bytes: u64,
    /// What there is at all.
    pub total_bytes: u64,
}

impl FitNumbers {
    /// Returns whether there is room now.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.needed_bytes <= self.available_bytes
    }

    /// Returns whether there is room now, and a margin.
    #[must_use]
    pub const fn has_margin(&self) -> bool {
        self.needed_bytes.saturating_add(self.margin_bytes) <= self.available_bytes
    }
}

/// A GPU and what of it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceFit {
    /// How it is driven.
    pub backend: Backend,
    /// Its number among those of its kind, from 0.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What is needed of it.
    pub numbers: FitNumbers,
    /// How many layers it is given.
    pub layers: u32,
}

/// What would fit instead, or more of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FitSuggestions {
    /// The largest context in tokens that fits, up to what the model was trained for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_context: Option<u32>,
    /// How many layers fit into the GPU: what to set as `gpu.layers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_layers: Option<u32>,
    /// The largest form of the model that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_variant: Option<Variant>,
    /// Whether it would fit if every other model was unloaded.
    pub fits_alone: bool,
}

/// Whether a model fits, and what that is concluded from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FitReport {
    /// The model.
    pub reference: ModelReference,
    /// The verdict.
    pub verdict: FitVerdict,
    /// Where the numbers come from.
    pub confidence: FitConfidence,
    /// The context in tokens that they are for, over all requests at a time.
    pub context: u32,
    /// The number of requests at a time that they are for.
    pub parallel: u16,
    /// How many layers the model has, where it is known.
    pub layers: Option<u32>,
    /// The machine's memory.
    pub host: FitNumbers,
    /// The GPU that is used, where one is.
    pub device: Option<DeviceFit>,
    /// What is needed, part by part. An estimate, also where the totals were measured.
    pub breakdown: MemoryEstimate,
    /// What prompts that were seen may take of the machine's memory in the course of time.
    pub prompt_cache_bytes: u64,
    /// What would fit.
    pub suggestions: FitSuggestions,
    /// What else should be known about running it here, each in a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct FitSubject<'a> {
    /// The model.
    pub reference: &'a ModelReference,
    /// Its header, where it could be read.
    pub header: Option<&'a ModelHeader>,
    /// The bytes of its weights.
    pub bytes: u64,
    /// The bytes of a file that lets it see pictures.
    pub projector_bytes: u64,
    /// What prompts that were seen may take of the machine's memory in the course of time.
    pub prompt_cache_bytes: u64,
    /// What it took when it was loaded with the same settings, in bytes of the host and of the GPU.
    pub measured: Option<MeasuredMemory>,
    /// Other forms of it.
    pub variants: &'a [Variant],
}

/// What a model took when it was loaded, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredMemory {
    /// Of the machine's memory.
    pub host: u64,
    /// Of the GPU's.
    pub device: u64,
}

/// What may be used, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitMachine {
    /// What the machine has, and what of it is free now.
    pub hardware: crate::hardware::Hardware,
    /// What all models that are loaded now hold of the machine's memory.
    pub loaded_host_bytes: u64,
    /// What all models that are loaded now hold of each GPU's memory, by its place among the machine's GPUs.
    pub loaded_device_bytes: std::collections::BTreeMap<u32, u64>,
}

impl From<crate::hardware::Hardware> for FitMachine {
    fn from(hardware: crate::hardware::Hardware) -> Self {
        Self { hardware, loaded_host_bytes: 0, loaded_device_bytes: std::collections::BTreeMap::new() }
    }
}

/// Narrows a number that a header may have made absurd.
fn narrowed(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const fn one_request() -> NonZeroU16 {
    NonZeroU16::MIN
}

//! How much memory a model will take, from the header of its file, and whether that is there. Pure.
//!
//! Owns: the settings that matter, the estimate with its parts, the verdict. Does not own: what was measured, and what an
//! instance is taken to need in the end (`scheduler/need.rs`).
//!
//! The rules for GGUF files are llama.cpp's, as its server reports its buffers; those for safetensors are vLLM's. What
//! they leave out is measured once the model was loaded. The context is what the configuration says; where it says
//! nothing the engine takes what the model was trained for and shrinks it until it fits, so a usual one is assumed.

mod breakdown;
pub mod fit;
mod gguf;
mod safetensors;
mod settings;

#[cfg(test)]
mod tests;

pub use breakdown::{MemoryEstimate, MemoryShare};
pub use fit::{FitReport, FitRequest, FitVerdict, fit};
pub use settings::{CacheType, DeviceLayers, FlashAttention, LoadSettings};

use crate::model::ModelHeader;

/// The context that is assumed where none is configured, in tokens.
const USUAL_CONTEXT: u64 = 8_192;
/// More layers than this are a damaged header.
const MOST_LAYERS: u64 = 10_000;
/// What a server takes besides its buffers: its code, its libraries, the vocabulary.
const PROCESS: u64 = 48 * 1024 * 1024;
/// What a GPU's driver takes for each process.
const DEVICE_PROCESS: u64 = 512 * 1024 * 1024;

/// Estimates what a model takes when it is loaded with these settings.
#[must_use]
pub fn estimate(header: &ModelHeader, settings: &LoadSettings) -> MemoryEstimate {
    match header {
        ModelHeader::Gguf(header) => gguf::estimate(header, settings),
        ModelHeader::Safetensors(model) => safetensors::estimate(model, settings),
    }
}

/// Estimates what a model takes of which no more than the length of its files is known.
#[must_use]
pub fn estimate_by_length(bytes: u64, settings: &LoadSettings) -> MemoryEstimate {
    let mut estimate = MemoryEstimate::default();
    let weights = match settings.layers {
        None => &mut estimate.host.weights_bytes,
        Some(_) => &mut estimate.device.weights_bytes,
    };
    *weights = bytes;
    estimate.host.process_bytes = PROCESS;
    estimate.device.process_bytes = settings.layers.map_or(0, |_| DEVICE_PROCESS);
    estimate
}

/// Returns the tokens that a model is loaded for, over all requests at a time.
#[must_use]
pub fn context_of(header: &ModelHeader, settings: &LoadSettings) -> u64 {
    context_in(header.context_length(), settings)
}

fn context_in(trained: Option<u64>, settings: &LoadSettings) -> u64 {
    let trained = trained.filter(|length| *length > 0).unwrap_or(USUAL_CONTEXT);
    settings.context.map_or(USUAL_CONTEXT.min(trained), |context| context.get().into())
}

fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

fn product(parts: &[u64]) -> u64 {
    parts.iter().fold(1, |product, part| product.saturating_mul(*part))
}

/// Rounds up to a multiple of a step.
fn pad(value: u64, step: u64) -> u64 {
    value.div_ceil(step.max(1)).saturating_mul(step)
}

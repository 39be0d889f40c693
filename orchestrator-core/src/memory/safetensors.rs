//! The rules for safetensors models: what vLLM must have at least.

use super::{DEVICE_PROCESS, LoadSettings, MOST_LAYERS, MemoryEstimate, MemoryShare, PROCESS, context_in, product, sum};
use crate::model::SafetensorsModel;
use crate::model::safetensors::LayerAttention;

/// What it takes beside weights and cache: activations, graphs, the driver.
const OVERHEAD: u64 = 1280 * 1024 * 1024;

pub(super) fn estimate(model: &SafetensorsModel, settings: &LoadSettings) -> MemoryEstimate {
    let config = &model.config;
    let context = context_in(config.context_length, settings);
    let head_length = config.head_length.unwrap_or(0);
    let heads = config.head_count_kv.unwrap_or(0).max(1);
    let row = product(&[heads, head_length]);
    let row_bytes = settings.key_type.bytes_of(row).saturating_add(settings.value_type.bytes_of(row));
    let mut share = MemoryShare {
        weights_bytes: model.weights_bytes(),
        projector_bytes: settings.projector_bytes,
        process_bytes: OVERHEAD,
        output_bytes: product(&[4, config.vocabulary_length.unwrap_or(0), settings.parallel.get().into()]),
        ..MemoryShare::default()
    };
    for layer in 0..config.layer_count.unwrap_or(0).min(MOST_LAYERS) {
        match (config.attention_of(layer), config.sliding_window) {
            (LayerAttention::Full, _) | (LayerAttention::Sliding, None) => {
                share.cache_bytes = sum(&[share.cache_bytes, product(&[context, row_bytes])]);
            }
            (LayerAttention::Sliding, Some(window)) => {
                share.window_cache_bytes = sum(&[share.window_cache_bytes, product(&[context.min(window), row_bytes])]);
            }
            (LayerAttention::Recurrent, _) => {}
        }
    }
    if settings.layers.is_none() {
        return MemoryEstimate { host: share, device: MemoryShare::default() };
    }
    share.process_bytes = OVERHEAD.max(DEVICE_PROCESS);
    MemoryEstimate { host: MemoryShare { process_bytes: PROCESS, ..MemoryShare::default() }, device: share }
}

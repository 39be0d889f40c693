//! What the engine computes with.

use super::cache::Cells;
use super::layers::Layers;
use crate::memory::{FlashAttention, LoadSettings, product, sum};
use crate::model::gguf::GgufHeader;

/// Returns what is computed with where the layers are.
pub(super) fn bytes(header: &GgufHeader, layers: &Layers, cells: &Cells, settings: &LoadSettings) -> u64 {
    let embedding = header.embedding_length().unwrap_or(0);
    let feed_forward = header.feed_forward_length().unwrap_or(embedding.saturating_mul(4));
    let batch = settings.effective_micro_batch();
    let heads = header.head_count().map_or(0, |heads| heads.max());
    let has_window = layers.iter().any(|(_, layer)| layer.windowed);
    let distinct = cells.full.saturating_add(if has_window { cells.window } else { 0 });
    match settings.flash_attention {
        FlashAttention::Auto | FlashAttention::On => {
            let row = sum(&[feed_forward.saturating_mul(4), embedding.saturating_mul(2), 140]);
            sum(&[product(&[4, batch, row]), product(&[2, batch, distinct])])
        }
        FlashAttention::Off => {
            let inner = product(&[5, heads, header.key_length().unwrap_or(0)]);
            sum(&[product(&[4, batch, cells.full, heads.saturating_add(1)]), product(&[4, batch, inner.saturating_add(embedding)])])
        }
    }
}

/// Returns what the host computes with when layers are on a GPU.
pub(super) fn host_part(header: &GgufHeader, settings: &LoadSettings, cells: &Cells) -> u64 {
    let batch = settings.effective_micro_batch();
    sum(&[product(&[4, batch, header.embedding_length().unwrap_or(0)]), product(&[2, batch, cells.full])])
}

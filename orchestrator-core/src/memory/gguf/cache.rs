//! The cache of keys and values.

use super::layers::{Layers, window_of};
use super::placement::Placement;
use crate::memory::{FlashAttention, LoadSettings, MemoryShare, context_in, pad, product};
use crate::model::gguf::GgufHeader;

/// The number of tokens in a cache is a multiple of this.
const CELL_STEP: u64 = 256;

/// How many tokens a cache has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cells {
    /// In layers that attend to the whole context.
    pub(super) full: u64,
    /// In layers that attend to a window.
    pub(super) window: u64,
    /// How many caches there are: one, or one for each request.
    pub(super) streams: u64,
}

impl Cells {
    pub(super) fn of(header: &GgufHeader, settings: &LoadSettings) -> Self {
        let parallel = u64::from(settings.parallel.get());
        let context = context_in(header.context_length(), settings);
        let streams = if settings.unified { 1 } else { parallel };
        let full = pad(pad(context, CELL_STEP) / streams, CELL_STEP);
        let shared = if settings.unified { parallel } else { 1 };
        let window = match window_of(header) {
            Some(window) if !settings.whole_window => {
                let kept = window.saturating_mul(shared).saturating_add(settings.effective_micro_batch());
                pad(full.min(kept), CELL_STEP)
            }
            _ => full,
        };
        Self { full, window, streams }
    }
}

/// Adds the caches of all layers where these are placed.
pub(super) fn add(
    layers: &Layers,
    cells: &Cells,
    settings: &LoadSettings,
    placement: Placement,
    (host, device): (&mut MemoryShare, &mut MemoryShare),
) {
    // Without flash attention values lie across, in rows of one length for all layers.
    let one_length = (settings.flash_attention == FlashAttention::Off && layers.values_vary()).then(|| layers.largest_value());
    for (index, layer) in layers.iter() {
        let share = if placement.is_on_device(index) && !settings.cache_on_host { &mut *device } else { &mut *host };
        let value = if layer.value == 0 { 0 } else { one_length.unwrap_or(layer.value) };
        let row = settings.key_type.bytes_of(layer.key).saturating_add(settings.value_type.bytes_of(value));
        let (length, part) =
            if layer.windowed { (cells.window, &mut share.window_cache_bytes) } else { (cells.full, &mut share.cache_bytes) };
        *part = part.saturating_add(product(&[cells.streams, length, row]));
        let state = product(&[4, layer.state, settings.parallel.get().into()]);
        let state_share = if placement.is_on_device(index) { &mut *device } else { &mut *host };
        state_share.recurrent_bytes = state_share.recurrent_bytes.saturating_add(state);
    }
}

//! How much memory a model will take, from the header of its file. Pure.
//!
//! The rules are llama.cpp's, as its server reports its buffers; what they leave out is measured once the model was
//! loaded. The context is what the configuration says; where it says nothing the engine takes what the model was
//! trained for and shrinks it until it fits, so a usual one is assumed.

use std::num::{NonZeroU16, NonZeroU32};

use crate::model::gguf::GgufHeader;

/// The context that is assumed where none is configured, in tokens.
const USUAL_CONTEXT: u64 = 8_192;
/// How many prompt tokens the engine works on at once.
const MICRO_BATCH: u64 = 512;
/// Bytes of one element of the cache (f16).
const CACHE_ELEMENT: u64 = 2;
/// What a server takes besides its buffers: its code, its libraries, the vocabulary.
const PROCESS: u64 = 48 * 1024 * 1024;
/// What a GPU's driver takes for each process.
const DEVICE_PROCESS: u64 = 512 * 1024 * 1024;

/// The settings of an instance that matter for its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSettings {
    /// The context in tokens, over all requests at a time.
    pub context: Option<NonZeroU32>,
    /// How many requests the server works on at a time.
    pub parallel: NonZeroU16,
    /// How many layers go to the GPU: all of them, for `None`. Nothing, when there is no GPU.
    pub layers: Option<DeviceLayers>,
}

/// How many layers go to a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceLayers {
    /// All of them.
    All,
    /// This many.
    Some(u32),
}

/// What a model will take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryEstimate {
    /// Of the machine's memory.
    pub host: u64,
    /// Of the GPU's.
    pub device: u64,
}

/// Estimates what a model takes when it is loaded with these settings.
#[must_use]
pub fn estimate(header: &GgufHeader, settings: LoadSettings) -> MemoryEstimate {
    let layers = header.block_count().unwrap_or(0).min(10_000);
    let weights = weights(header);
    let embedding = header.tensors.iter().find(|tensor| tensor.name == "token_embd.weight").map_or(0, |tensor| tensor.bytes);
    let cache = cache(header, layers, settings);
    let compute = compute(header, settings);
    let output = 4_u64.saturating_mul(header.vocabulary_length().unwrap_or(0)).saturating_mul(settings.parallel.get().into());
    let on_device = match settings.layers {
        None => return MemoryEstimate { host: sum(&[weights, cache, compute, output, PROCESS]), device: 0 },
        Some(DeviceLayers::All) => layers + 1,
        Some(DeviceLayers::Some(count)) => u64::from(count).min(layers + 1),
    };
    let part = |bytes: u64| u64::try_from(u128::from(bytes) * u128::from(on_device) / u128::from(layers + 1)).unwrap_or(u64::MAX);
    // The embedding stays with the host, whatever goes to the device.
    let device_weights = part(weights.saturating_sub(embedding));
    let device_cache = part(cache);
    MemoryEstimate {
        host: sum(&[weights - device_weights, cache - device_cache, output, PROCESS]),
        device: sum(&[device_weights, device_cache, compute, DEVICE_PROCESS]),
    }
}

fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

fn weights(header: &GgufHeader) -> u64 {
    let first = header.tensors.iter().map(|tensor| tensor.offset).min().unwrap_or(0);
    let last = header.tensors.iter().map(|tensor| tensor.offset.saturating_add(tensor.bytes)).max().unwrap_or(0);
    last.saturating_sub(first)
}

fn round_up(value: u64, step: u64) -> u64 {
    value.div_ceil(step).saturating_mul(step)
}

fn cache(header: &GgufHeader, layers: u64, settings: LoadSettings) -> u64 {
    let parallel = u64::from(settings.parallel.get());
    let trained = header.context_length().unwrap_or(USUAL_CONTEXT);
    let context = settings.context.map_or(USUAL_CONTEXT.min(trained), |context| context.get().into());
    let cells = round_up(context / parallel, 256);
    let windowed = header.sliding_window().map(|window| round_up(cells.min(window.saturating_add(MICRO_BATCH)), 256));
    let (key, value) = (header.key_length().unwrap_or(0), header.value_length().unwrap_or(0));
    let heads = header.head_count_kv();
    let row = |layer: u64| {
        let heads = heads.as_ref().and_then(|heads| heads.in_layer(usize::try_from(layer).ok()?)).unwrap_or(0);
        heads.saturating_mul(key.saturating_add(value)).saturating_mul(CACHE_ELEMENT)
    };
    let is_windowed = |layer: u64| header.architecture() != Some("gemma3") || layer % 6 != 5;
    let all = (0..layers).map(|layer| {
        let cells = windowed.filter(|_| is_windowed(layer)).unwrap_or(cells);
        row(layer).saturating_mul(cells)
    });
    all.fold(0, u64::saturating_add).saturating_mul(parallel)
}

/// With flash attention, which is the default where it can be had.
fn compute(header: &GgufHeader, settings: LoadSettings) -> u64 {
    let embedding = header.embedding_length().unwrap_or(0);
    let feed_forward = header.feed_forward_length().unwrap_or(embedding.saturating_mul(4));
    let trained = header.context_length().unwrap_or(USUAL_CONTEXT);
    let context = settings.context.map_or(USUAL_CONTEXT.min(trained), |context| context.get().into());
    let cells = round_up(context / u64::from(settings.parallel.get()), 256);
    let row = sum(&[feed_forward.saturating_mul(4), embedding.saturating_mul(2), 140]);
    sum(&[MICRO_BATCH.saturating_mul(4).saturating_mul(row), MICRO_BATCH.saturating_mul(2).saturating_mul(cells)])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::model::demo::{DemoModel, write_demo_model};

    fn demo() -> GgufHeader {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.gguf");
        write_demo_model(&path, &DemoModel::default()).unwrap();
        GgufHeader::read(&path).unwrap()
    }

    fn with(context: u32, parallel: u16, layers: Option<DeviceLayers>) -> LoadSettings {
        LoadSettings { context: NonZeroU32::new(context), parallel: NonZeroU16::new(parallel).unwrap(), layers }
    }

    #[test]
    fn weights_are_counted_exactly_and_the_cache_by_the_context() {
        let header = demo();
        let small = estimate(&header, with(256, 1, None));
        let large = estimate(&header, with(65_536, 1, None));
        assert!(small.host > header.weights_bytes() + PROCESS);
        let row = (0..header.block_count().unwrap())
            .map(|layer| header.head_count_kv().unwrap().in_layer(usize::try_from(layer).unwrap()).unwrap())
            .sum::<u64>()
            * (header.key_length().unwrap() + header.value_length().unwrap())
            * 2;
        assert_eq!(large.host - small.host, (65_536 - 256) * (row + MICRO_BATCH * 2));
        assert_eq!(small.device, 0);
    }

    #[test]
    fn a_gpu_takes_its_layers_and_the_host_keeps_the_rest() {
        let header = demo();
        let all = estimate(&header, with(4_096, 1, Some(DeviceLayers::All)));
        let none = estimate(&header, with(4_096, 1, Some(DeviceLayers::Some(0))));
        let host = estimate(&header, with(4_096, 1, None));
        assert!(all.device > none.device && all.host < none.host);
        assert!(none.host <= host.host);
    }

    #[test]
    fn absurd_headers_give_a_number_and_no_panic() {
        let mut header = demo();
        for value in header.metadata.values_mut() {
            if value.as_u64().is_some() {
                *value = crate::model::gguf::GgufValue::U64(u64::MAX);
            }
        }
        let _ = estimate(&header, with(u32::MAX, u16::MAX, Some(DeviceLayers::Some(u32::MAX))));
    }
}

//! A slice of the table of `cargo xtask bench fit`, as llama.cpp 0.7.0 (build 11669) printed it: our estimates must stay
//! beside it where the engine itself is not at hand.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::Cursor;

use orchestrator_core::memory::{CacheType, FlashAttention, LoadSettings, estimate};
use orchestrator_core::model::ModelHeader;
use orchestrator_core::model::gguf::{GgufExtent, GgufHeader, GgufReadOptions};

use super::cases::{Case, gemma3_4b, llama_1b_tied, qwen3_8b, qwen3_moe, with};
use super::server::Buffers;
use super::{ABOVE, BELOW, PRINTED};

/// Weights, cache, what is computed with, and output, in MiB.
type Printed = [f64; 4];

fn recorded() -> Vec<(Case, u32, Printed)> {
    let off = FlashAttention::Off;
    let quantised = LoadSettings { key_type: CacheType::Q8, value_type: CacheType::Q8, ..with(16_384, 2) };
    let case = |shape, settings| Case { shape, settings };
    vec![
        (case(llama_1b_tied(), with(10_000, 3)), 10, [200.90, 84.00, 71.66, 0.37]),
        (case(gemma3_4b(), with(4_096, 1)), 1, [931.35, 58.00, 90.53, 0.24]),
        (case(gemma3_4b(), with(32_768, 1)), 1, [931.35, 170.00, 118.53, 0.24]),
        (case(gemma3_4b(), LoadSettings { unified: true, ..with(16_384, 4) }), 1, [931.35, 190.00, 105.53, 0.98]),
        (case(gemma3_4b(), quantised.clone()), 1, [931.35, 78.62, 95.06, 0.49]),
        (case(gemma3_4b(), LoadSettings { flash_attention: off, ..with(16_384, 4) }), 1, [931.35, 232.00, 112.02, 0.98]),
        (case(gemma3_4b(), LoadSettings { micro_batch: 2_048, ..with(8_192, 1) }), 1, [931.35, 116.00, 384.11, 0.24]),
        (case(qwen3_moe(), with(16_384, 4)), 1, [2661.39, 128.00, 92.02, 0.49]),
        (case(qwen3_moe(), quantised), 1, [2661.39, 68.00, 96.10, 0.24]),
        (case(qwen3_moe(), LoadSettings { flash_attention: off, ..with(4_096, 1) }), 1, [2661.39, 32.00, 302.01, 0.12]),
    ]
}

/// Reads back the header of a model of which there is no file.
fn header_of(case: &Case) -> ModelHeader {
    let writer = case.shape.writer().unwrap();
    let bytes = writer.header_bytes().unwrap();
    let extent = GgufExtent { file_bytes: writer.file_bytes().unwrap(), available: bytes.len() as u64 };
    GgufHeader::read_from(Cursor::new(bytes), extent, &GgufReadOptions::default()).unwrap().into()
}

#[test]
fn estimates_are_what_the_server_said() {
    for (case, weight_parts, [weights, cache, compute, output]) in recorded() {
        let theirs = Buffers { weights, cache, compute, output, weight_parts };
        let ours = Buffers::estimated(&estimate(&header_of(&case), &case.settings).host);
        let what = format!("{} ({}): {ours:?} for {theirs:?}", case.shape.name, case.shown());
        assert!((ours.weights - theirs.weights).abs() <= PRINTED * f64::from(weight_parts), "{what}");
        assert!((ours.cache - theirs.cache).abs() <= PRINTED, "{what}");
        assert!((BELOW..=ABOVE).contains(&ours.off_by(&theirs)), "{what}");
    }
}

#[test]
fn a_giant_is_placed_by_its_layers() {
    use orchestrator_core::memory::DeviceLayers;

    // 37 GiB of weights of which no byte exists.
    let mut shape = qwen3_8b();
    shape.layers = 160;
    let case = Case { shape, settings: with(4_096, 1) };
    let header = header_of(&case);
    let placed = |layers| estimate(&header, &LoadSettings { layers: Some(layers), ..with(4_096, 1) });
    let (all, half, none) = (placed(DeviceLayers::All), placed(DeviceLayers::Some(81)), placed(DeviceLayers::Some(0)));
    let whole = none.host.weights_bytes;
    assert!(whole > 30 * 1024 * 1024 * 1024);
    // The embedding stays with the host, whatever is on the GPU.
    assert!(all.host.weights_bytes > 0 && all.host.weights_bytes < whole / 20);
    assert!(half.device.weights_bytes.abs_diff(all.device.weights_bytes / 2) < whole / 50);
    assert_eq!(half.device.cache_bytes * 2, all.device.cache_bytes);
    assert_eq!(half.host.cache_bytes, half.device.cache_bytes);
    assert_eq!(none.device.weights_bytes, 0);
}

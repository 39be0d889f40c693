//! Estimates as a whole.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::model::demo::{DemoModel, write_demo_model};
use crate::model::gguf::GgufHeader;

fn demo() -> GgufHeader {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.gguf");
    write_demo_model(&path, &DemoModel::default()).unwrap();
    GgufHeader::read(&path).unwrap()
}

fn with(context: u32, parallel: u16, layers: Option<DeviceLayers>) -> LoadSettings {
    LoadSettings { context: NonZeroU32::new(context), parallel: NonZeroU16::new(parallel).unwrap(), layers, ..LoadSettings::default() }
}

#[test]
fn weights_are_counted_exactly_and_the_cache_by_the_context() {
    let header = demo();
    let row = (0..header.block_count().unwrap())
        .map(|layer| header.head_count_kv().unwrap().in_layer(usize::try_from(layer).unwrap()).unwrap())
        .sum::<u64>()
        * (header.key_length().unwrap() + header.value_length().unwrap())
        * 2;
    let weights = header.weights_bytes();
    let header = ModelHeader::from(header);
    let small = estimate(&header, &with(256, 1, None)).host;
    let large = estimate(&header, &with(65_536, 1, None)).host;
    assert!(small.weights_bytes >= weights);
    assert_eq!(large.cache_bytes - small.cache_bytes, (65_536 - 256) * row);
    assert_eq!(estimate(&header, &with(256, 1, None)).device.total(), 0);
}

#[test]
fn a_gpu_takes_its_layers_and_the_host_keeps_the_rest() {
    let header = ModelHeader::from(demo());
    let all = estimate(&header, &with(4_096, 1, Some(DeviceLayers::All)));
    let none = estimate(&header, &with(4_096, 1, Some(DeviceLayers::Some(0))));
    let host = estimate(&header, &with(4_096, 1, None));
    assert!(all.device.total() > none.device.total() && all.host.total() < none.host.total());
    assert!(none.host.weights_bytes == host.host.weights_bytes);
}

#[test]
fn absurd_headers_give_a_number_and_no_panic() {
    let mut header = demo();
    for value in header.metadata.values_mut() {
        if value.as_u64().is_some() {
            *value = crate::model::gguf::GgufValue::U64(u64::MAX);
        }
    }
    let _ = estimate(&ModelHeader::from(header), &with(u32::MAX, u16::MAX, Some(DeviceLayers::Some(u32::MAX))));
}

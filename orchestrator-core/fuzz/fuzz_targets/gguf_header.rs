//! Any bytes, with any claim about the file's size, are read or refused as a GGUF header: no panic, no large memory.
//!
//! The first ten bytes choose the claims, the rest is the file; a good start for the corpus is ten zero bytes before
//! a demo model's header.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use orchestrator_core::model::gguf::{GgufExtent, GgufHeader, GgufReadOptions, UnknownTensorTypes};

fuzz_target!(|input: &[u8]| {
    let Some((choices, file)) = input.split_first_chunk::<10>() else { return };
    let [how, cut, size @ ..] = *choices;
    let held = file.len() as u64;
    let file_bytes = if how & 1 == 0 { held } else { u64::from_le_bytes(size) };
    let available = held.saturating_sub(u64::from(cut)).min(file_bytes);
    let unknown_types = if how & 2 == 0 { UnknownTensorTypes::Refuse } else { UnknownTensorTypes::List };
    let options = GgufReadOptions { unknown_types, ..GgufReadOptions::default() };

    let Ok(header) = GgufHeader::read_from(Cursor::new(file), GgufExtent { file_bytes, available }, &options) else {
        return;
    };
    for tensor in &header.tensors {
        assert!(header.data_offset + tensor.offset + tensor.bytes <= file_bytes);
    }
    assert!(header.weights_bytes() <= file_bytes);
    let _ = (header.quantisation(), header.parameter_count(), header.head_count_kv(), header.key_length(), header.split());
});

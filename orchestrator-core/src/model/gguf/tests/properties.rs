//! What holds for every input.

use std::io::{Cursor, Read, Seek, SeekFrom};

use proptest::prelude::*;

use super::{read, small_file};
use crate::model::gguf::{GgufArray, GgufExtent, GgufHeader, GgufReadOptions, GgufTensorType, GgufValue, GgufWriter};

/// Counts the bytes that are read from it.
struct Counted<R>(R, u64);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1 += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

fn value() -> impl Strategy<Value = GgufValue> {
    prop_oneof![
        any::<u8>().prop_map(GgufValue::U8),
        any::<i8>().prop_map(GgufValue::I8),
        any::<u16>().prop_map(GgufValue::U16),
        any::<i16>().prop_map(GgufValue::I16),
        any::<u32>().prop_map(GgufValue::U32),
        any::<i32>().prop_map(GgufValue::I32),
        any::<u64>().prop_map(GgufValue::U64),
        any::<i64>().prop_map(GgufValue::I64),
        (-1e30_f32..1e30).prop_map(GgufValue::F32),
        (-1e300_f64..1e300).prop_map(GgufValue::F64),
        any::<bool>().prop_map(GgufValue::Bool),
        "\\PC{0,40}".prop_map(GgufValue::String),
        prop::collection::vec(any::<i32>(), 0..20).prop_map(|items| GgufValue::Array(GgufArray::of_i32(items))),
    ]
}

/// A tensor's type by number, and a shape that it can hold.
fn tensor() -> impl Strategy<Value = (u32, Vec<u64>)> {
    let types = prop::sample::select(vec![(0_u32, 1_u64), (1, 1), (8, 32), (12, 256), (39, 32)]);
    (types, 0_u64..5, prop::collection::vec(0_u64..6, 0..3))
        .prop_map(|((number, block), blocks, rest)| (number, [vec![block * blocks], rest].concat()))
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        entries in prop::collection::btree_map("[a-z][a-z._]{0,20}", value(), 0..12),
        tensors in prop::collection::vec(tensor(), 0..8),
        alignment in prop::sample::select(vec![8_u32, 32, 64, 4096]),
    ) {
        let mut writer = GgufWriter::default().alignment(alignment);
        for (key, value) in &entries {
            writer.set(key, value.clone());
        }
        for (index, (number, shape)) in tensors.iter().enumerate() {
            writer.tensor(&format!("tensor.{index}"), GgufTensorType::from_number(*number), shape).unwrap();
        }
        let file_bytes = writer.file_bytes().unwrap();
        let mut data = writer.write_header(Vec::new()).unwrap();
        for (number, shape) in &tensors {
            let bytes = GgufTensorType::from_number(*number).bytes_of(shape).unwrap();
            data.write_tensor(&vec![7; usize::try_from(bytes).unwrap()]).unwrap();
        }
        let bytes = data.finish().unwrap();
        prop_assert_eq!(bytes.len() as u64, file_bytes);

        let header = read(&bytes).unwrap();
        prop_assert_eq!(header.alignment, alignment);
        prop_assert_eq!(header.metadata.len(), entries.len() + 1);
        for (key, value) in &entries {
            prop_assert_eq!(header.get(key), Some(value));
        }
        prop_assert_eq!(header.tensors.len(), tensors.len());
        for (read, (number, shape)) in header.tensors.iter().zip(&tensors) {
            prop_assert_eq!((read.tensor_type.number(), &read.shape), (*number, shape));
            let start = usize::try_from(header.data_offset + read.offset).unwrap();
            let stored = &bytes[start..start + usize::try_from(read.bytes).unwrap()];
            prop_assert!(stored.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn random_bytes_after_the_magic_are_refused_or_read_without_a_panic(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&b"GGUF\x03\0\0\0"[..], &tail].concat();
        let _ = read(&bytes);
        let _ = read(&tail);
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_within_bounds(
        changes in prop::collection::vec((0_usize..300, any::<u8>()), 1..6),
        words in prop::collection::vec((0_usize..300, prop::sample::select(vec![0_u64, 1, 31, 1 << 20, 1 << 33, 1 << 62, u64::MAX])), 0..3),
        file_bytes in prop::sample::select(vec![0_u64, 100, 480, 1 << 40, u64::MAX]),
    ) {
        let mut bytes = small_file();
        for (position, byte) in changes {
            bytes[position] = byte;
        }
        for (position, word) in words {
            bytes[position..position + 8].copy_from_slice(&word.to_le_bytes());
        }
        let held = bytes.len() as u64;
        let extent = GgufExtent { file_bytes, available: held.min(file_bytes) };
        let mut input = Counted(Cursor::new(bytes), 0);
        if let Ok(header) = GgufHeader::read_from(&mut input, extent, &GgufReadOptions::default()) {
            let end = |tensor: &crate::model::gguf::GgufTensor| header.data_offset + tensor.offset + tensor.bytes;
            prop_assert!(header.tensors.iter().all(|tensor| end(tensor) <= file_bytes));
            prop_assert!(header.weights_bytes() <= file_bytes);
            let _ = (header.quantisation(), header.parameter_count(), header.key_length(), header.split());
        }
        // The first bytes are looked at twice.
        prop_assert!(input.1 <= held + 512);
    }
}

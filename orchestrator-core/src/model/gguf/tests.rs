#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

mod files;
mod hostile;
mod properties;
mod questions;

use std::io::Cursor;

use super::{GgufError, GgufExtent, GgufHeader, GgufReadOptions, GgufTensorType, GgufWriter};

/// Reads a header from bytes that are the whole file.
fn read(bytes: &[u8]) -> Result<GgufHeader, GgufError> {
    GgufHeader::read_from(Cursor::new(bytes), GgufExtent::whole(bytes.len() as u64), &GgufReadOptions::default())
}

/// A small file that is all right.
fn small_file() -> Vec<u8> {
    let mut writer = GgufWriter::new("llama").with("general.name", "small").with("llama.context_length", 4096_u32);
    writer.tensor("token_embd.weight", GgufTensorType::F32, &[8, 4]).unwrap();
    writer.tensor("output.weight", GgufTensorType::F16, &[8, 3]).unwrap();
    let mut data = writer.write_header(Vec::new()).unwrap();
    data.write_tensor(&[1; 128]).unwrap();
    data.write_tensor(&[2; 48]).unwrap();
    data.finish().unwrap()
}

/// Bytes put together by hand, for headers that the writer would not write.
#[derive(Clone, Default)]
struct Raw(Vec<u8>);

impl Raw {
    /// Begins a version 3 header with these counts.
    fn header(tensors: u64, entries: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(entries)
    }

    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn string(self, text: impl AsRef<[u8]>) -> Self {
        let mut raw = self.u64(text.as_ref().len() as u64);
        raw.0.extend(text.as_ref());
        raw
    }

    /// Adds a tensor's entry.
    fn tensor(self, name: &str, shape: &[u64], type_number: u32, offset: u64) -> Self {
        let raw = self.string(name).u32(u32::try_from(shape.len()).unwrap());
        shape.iter().fold(raw, |raw, dimension| raw.u64(*dimension)).u32(type_number).u64(offset)
    }

    /// Adds zero bytes.
    fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }
}

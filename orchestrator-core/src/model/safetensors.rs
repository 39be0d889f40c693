//! Models in safetensors files: the headers of the files, the index of several, and the `config.json` beside them.
//!
//! Owns: the format, its limits, and the questions the rest of the program asks of such a model. Does not own: the
//! weights themselves, which are never read, and pickled weights, which are not even looked at.
//!
//! The input is hostile. A claimed length is compared with the file before anything is read, lists and names have limits
//! ([`SafetensorsLimits`]), shapes are multiplied with a check for overflow, and the tensors must fill the file from the
//! end of the header to its last byte, without a hole and without an overlap.
//!
//! ```text
//! header_length:u64 header:JSON data
//! header = { "__metadata__": { text: text … }, name: { "dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64] } … }
//! ```

mod config;
mod error;
mod header;
mod index;
mod model;

#[cfg(test)]
mod tests;

pub use config::{LayerAttention, TransformersConfig};
pub use error::SafetensorsError;
pub use header::{SafetensorsDtype, SafetensorsHeader, SafetensorsLimits, SafetensorsTensor};
pub use index::SafetensorsIndex;
pub use model::{SafetensorsFile, SafetensorsModel};

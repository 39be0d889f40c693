//! The header of a GGUF file: read with bounds, and written.
//!
//! Owns: the format (versions 2 and 3, little-endian), its limits, the tables of tensor and file types, and the
//! questions the rest of the program asks of a header. Does not own: the weights themselves, which are never read.
//!
//! The input is hostile. Every count and length is compared with what the file can still hold *before* anything is
//! allocated, every list has a limit ([`GgufLimits`]), large arrays such as a tokenizer's vocabulary are walked over
//! and only their type and length kept, and every tensor's bytes must lie inside the file, aligned, without overlap.
//!
//! ```text
//! "GGUF" version:u32 tensor_count:u64 entry_count:u64
//! entry_count  × { key:string type:u32 value }
//! tensor_count × { name:string dimension_count:u32 dimension:u64… type:u32 offset:u64 }
//! padding to the alignment, then the data that the offsets count from
//! ```

mod cursor;
mod error;
mod found_instead;
mod header;
mod layout;
mod limits;
mod summary;
mod tensor;
mod value;
mod writer;

#[cfg(test)]
mod tests;

pub use error::GgufError;
pub use found_instead::FoundInstead;
pub use header::{GgufExtent, GgufHeader, GgufReadOptions, UnknownTensorTypes};
pub use limits::GgufLimits;
pub use summary::{GgufPerLayer, GgufSplit};
pub use tensor::{GgufTensor, GgufTensorType};
pub use value::{GgufArray, GgufValue, GgufValueType};
pub use writer::{GgufDataWriter, GgufWriter};

/// The four bytes every GGUF file begins with.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";

/// The alignment of tensor data when `general.alignment` does not say otherwise, in bytes.
pub(crate) const DEFAULT_ALIGNMENT: u32 = 32;

/// The metadata key that sets the alignment of tensor data.
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";

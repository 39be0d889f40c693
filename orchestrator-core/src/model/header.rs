//! The headers of model files, of whatever format: what a model's memory is estimated from.

use super::gguf::GgufHeader;

/// What was read of a model without its weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModelHeader {
    /// The header of a GGUF file, the first of several.
    Gguf(Box<GgufHeader>),
}

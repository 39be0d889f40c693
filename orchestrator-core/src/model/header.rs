//! The headers of model files, of whatever format: what a model's memory is estimated from.

use super::ModelFormat;
use super::gguf::GgufHeader;
use super::safetensors::SafetensorsModel;

/// What was read of a model without its weights.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModelHeader {
    /// The header of a GGUF file; of several, what [`Self::gguf_of_parts`] made of them.
    Gguf(Box<GgufHeader>),
    /// The headers of safetensors files, with the configuration beside them.
    Safetensors(Box<SafetensorsModel>),
}

impl ModelHeader {
    /// Puts the headers of a split model together, the first part first, as though it were one file: the metadata of the
    /// first, the tensors of all. `None` without a part.
    ///
    /// Offsets of tensors go on from part to part; nothing can be read by them.
    #[must_use]
    pub fn gguf_of_parts(parts: Vec<GgufHeader>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next()?;
        for part in parts {
            let alignment = u64::from(whole.alignment.max(1));
            let end = whole.data_end().checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
            whole.file_bytes = whole.file_bytes.saturating_add(part.file_bytes);
            whole.tensors.extend(part.tensors.into_iter().map(|mut tensor| {
                tensor.offset = tensor.offset.saturating_add(end);
                tensor
            }));
        }
        Some(Self::Gguf(Box::new(whole)))
    }

    /// Returns the format.
    #[must_use]
    pub fn format(&self) -> ModelFormat {
        match self {
            Self::Gguf(_) => ModelFormat::Gguf,
            Self::Safetensors(_) => ModelFormat::Safetensors,
        }
    }

    /// Returns the architecture, such as `llama` or `qwen3`.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        match self {
            Self::Gguf(header) => header.architecture(),
            Self::Safetensors(model) => model.architecture(),
        }
    }

    /// Returns the longest context the model was trained for, in tokens.
    #[must_use]
    pub fn context_length(&self) -> Option<u64> {
        match self {
            Self::Gguf(header) => header.context_length(),
            Self::Safetensors(model) => model.config.context_length,
        }
    }

    /// Returns the number of layers.
    #[must_use]
    pub fn layer_count(&self) -> Option<u64> {
        match self {
            Self::Gguf(header) => header.block_count(),
            Self::Safetensors(model) => model.config.layer_count,
        }
    }
}

impl From<GgufHeader> for ModelHeader {
    fn from(header: GgufHeader) -> Self {
        Self::Gguf(Box::new(header))
    }
}

impl From<SafetensorsModel> for ModelHeader {
    fn from(model: SafetensorsModel) -> Self {
        Self::Safetensors(Box::new(model))
    }
}

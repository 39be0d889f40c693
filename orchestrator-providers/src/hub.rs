//! Places models come from.

mod huggingface;
mod local;
mod look;
pub mod ollama;
mod split;

pub use huggingface::{HuggingFace, check_listing};
pub use local::LocalModels;
pub use ollama::OllamaModels;

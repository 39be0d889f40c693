//! Places models come from.

mod local;
pub mod ollama;

pub use local::LocalModels;
pub use ollama::OllamaModels;

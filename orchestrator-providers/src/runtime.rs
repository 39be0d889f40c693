//! Kinds of inference engines.

mod llama_cpp;

pub use llama_cpp::LlamaCpp;

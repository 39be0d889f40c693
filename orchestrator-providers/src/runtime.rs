//! Kinds of inference engines.

mod llama_cpp;

pub use llama_cpp::LlamaCpp;
pub(crate) use llama_cpp::{chat_template, find_llama_server};

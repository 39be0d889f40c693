//! What a model file says about itself, and the demo model.
//!
//! Owns: the bounded GGUF header reader and writer, and the generator of the demo model.
//! Does not own: where models come from, how they are downloaded, or which engine runs them.

pub mod demo;
pub mod gguf;

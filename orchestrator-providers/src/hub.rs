//! Places models come from.

mod huggingface;
mod local;
mod look;
mod split;

pub use huggingface::{HuggingFace, check_listing};
pub use local::LocalModels;

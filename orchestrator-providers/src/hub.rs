//! Places models come from.

mod local;

pub use local::LocalModels;

//! What a model takes, part by part.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is taken of one memory, the host's or a GPU's, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MemoryShare {
    /// The weights.
    pub weights_bytes: u64,
    /// The cache of the layers that attend to the whole context.
    pub cache_bytes: u64,
    /// The cache of the layers that attend to a window.
    pub window_cache_bytes: u64,
    /// The state of the layers that keep one of a fixed size.
    pub recurrent_bytes: u64,
    /// What is computed with.
    pub compute_bytes: u64,
    /// The scores of the tokens.
    pub output_bytes: u64,
    /// What lets the model see pictures.
    pub projector_bytes: u64,
    /// The program itself, its libraries, the driver.
    pub process_bytes: u64,
}

impl MemoryShare {
    /// Returns all of it together.
    #[must_use]
    pub fn total(&self) -> u64 {
        // Named one by one, so that a new part cannot be forgotten here.
        let Self {
            weights_bytes,
            cache_bytes,
            window_cache_bytes,
            recurrent_bytes,
            compute_bytes,
            output_bytes,
            projector_bytes,
            process_bytes,
        } = *self;
        let cache = [cache_bytes, window_cache_bytes, recurrent_bytes];
        let rest = [weights_bytes, compute_bytes, output_bytes, projector_bytes, process_bytes];
        cache.into_iter().chain(rest).fold(0, u64::saturating_add)
    }

    /// Returns the caches and states together.
    #[must_use]
    pub fn all_caches(&self) -> u64 {
        self.cache_bytes.saturating_add(self.window_cache_bytes).saturating_add(self.recurrent_bytes)
    }
}

impl fmt::Display for MemoryShare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
        write!(formatter, "{} MiB (weights {}", mib(self.total()), mib(self.weights_bytes))?;
        let rest = [
            ("cache", self.all_caches()),
            ("compute", self.compute_bytes.saturating_add(self.output_bytes)),
            ("projector", self.projector_bytes),
            ("process", self.process_bytes),
        ];
        for (name, bytes) in rest.into_iter().filter(|(_, bytes)| *bytes > 0) {
            write!(formatter, ", {name} {}", mib(bytes))?;
        }
        formatter.write_str(")")
    }
}

/// What a model takes when it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MemoryEstimate {
    /// Of the machine's memory.
    pub host: MemoryShare,
    /// Of the GPU's.
    pub device: MemoryShare,
}

//! The default wiring: which providers, runtimes and registries a home gets.
//!
//! Owns: the one place where parts are put together, so that no frontend has wiring of its own.

use std::path::PathBuf;

/// What a frontend knows about its surroundings. Nothing in this crate reads the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderSettings {
    /// The folders in which programs are looked for, in their order (`PATH`).
    pub search_path: Vec<PathBuf>,
    /// The Python that environments are built with, when it is not to be looked for.
    pub python: Option<PathBuf>,
    /// The installer `uv`, when it is not to be looked for.
    pub uv: Option<PathBuf>,
}

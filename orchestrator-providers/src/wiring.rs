//! The default wiring: which providers, runtimes and registries a home gets.
//!
//! Owns: the one place where parts are put together, so that no frontend has wiring of its own.

use std::path::PathBuf;
use std::sync::Arc;

use orchestrator_core::{Orchestrator, OrchestratorBuilder, Paths};

use crate::{LinuxHardware, LlamaCpp, LocalModels, UvEnvironments};

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

/// Puts together an orchestrator for the home at `paths` with everything this crate has.
#[must_use]
pub fn builder(paths: Paths, settings: &ProviderSettings) -> OrchestratorBuilder {
    let environments = UvEnvironments::in_home(&paths, settings.clone());
    let models = LocalModels::in_home(&paths);
    Orchestrator::builder(paths)
        .runtime(Arc::new(LlamaCpp::new(settings.clone())))
        .provider(Arc::new(models))
        .environments(Arc::new(environments))
        .hardware(Arc::new(LinuxHardware::default()))
}

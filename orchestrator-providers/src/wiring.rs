//! The default wiring: which providers, runtimes and registries a home gets.
//!
//! Owns: the one place where parts are put together, so that no frontend has wiring of its own.

use std::sync::Arc;

use orchestrator_core::{Orchestrator, OrchestratorBuilder, Paths};

use crate::env::UvEnvironments;
use crate::hardware::LinuxHardware;
use crate::hub::{HuggingFace, LocalModels, OllamaModels};
use crate::runtime::LlamaCpp;
use crate::settings::ProviderSettings;

/// Puts the default parts together for a home: the runtime `llama_cpp`, the providers `local` and
/// `hugging_face`, environments over `uv` and this machine's hardware. Processes are started on this machine.
#[must_use]
pub fn builder(paths: Paths, settings: &ProviderSettings) -> OrchestratorBuilder {
    let runtime = Arc::new(LlamaCpp::new(settings.clone()));
    let local = Arc::new(LocalModels::in_home(&paths));
    let hugging_face = Arc::new(HuggingFace::in_home(&paths, settings.clone()));
    let ollama = Arc::new(OllamaModels::in_home(&paths, settings));
    let environments = Arc::new(UvEnvironments::in_home(&paths, settings.clone()));
    Orchestrator::builder(paths)
        .runtime(runtime)
        .provider(local)
        .provider(hugging_face)
        .provider(ollama)
        .environments(environments)
        .hardware(Arc::new(LinuxHardware::default()))
}

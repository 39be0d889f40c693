//! The runtime `llama_cpp`: llama.cpp's server, as a program of its own or inside an environment.
//!
//! ```text
//! engine.binary ─► env_key ─► `llama-server` on the search path ─► environment `llama-cpp-cpu`
//! ```
//!
//! Owns: finding the engine, its arguments, its last words, its list of devices. Starts no server: the launcher does.

mod architectures;
mod defaults;
mod devices;
mod engine;
mod explain;
mod load;
mod plan;
mod templates;

use async_trait::async_trait;
use orchestrator_core::env::EnvRegistry;
use orchestrator_core::hardware::EngineDevice;
use orchestrator_core::instance::{ExitCause, InstanceSpec};
use orchestrator_core::launcher::LaunchPlan;
use orchestrator_core::memory::LoadSettings;
use orchestrator_core::runtime::{Engine, PlanRequest, RuntimeCapabilities, RuntimeError, RuntimeKind};
use orchestrator_core::{EnvKey, Runtime};

use crate::settings::ProviderSettings;
pub(crate) use engine::find_on_search_path as find_llama_server;
pub(crate) use templates::of_name as chat_template;

/// llama.cpp's server.
#[derive(Debug, Clone)]
pub struct LlamaCpp {
    settings: ProviderSettings,
}

/// The name as it stands in errors.
const NAME: &str = RuntimeKind::LlamaCpp.as_str();
/// The path that answers 200 when the server is ready.
const HEALTH_PATH: &str = "/health";

impl LlamaCpp {
    /// Looks for engines on the search path of `settings`.
    #[must_use]
    pub fn new(settings: ProviderSettings) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Runtime for LlamaCpp {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::LlamaCpp
    }

    fn capabilities(&self) -> RuntimeCapabilities {
        RuntimeCapabilities { json_schema: true, native_tools: true, embeddings: true }
    }

    fn health_path(&self) -> &'static str {
        HEALTH_PATH
    }

    fn environment_key(&self, spec: &InstanceSpec) -> Option<EnvKey> {
        engine::environment_key(spec)
    }

    async fn find_engine(&self, spec: &InstanceSpec, environments: &dyn EnvRegistry) -> Result<Engine, RuntimeError> {
        engine::find(&self.settings, spec, environments).await
    }

    fn known_architectures(&self) -> &'static [&'static str] {
        &architectures::ARCHITECTURES
    }

    fn prompt_cache_bytes(&self) -> u64 {
        load::prompt_cache_bytes()
    }

    fn load_settings(&self, spec: &InstanceSpec) -> LoadSettings {
        load::load_settings(spec)
    }

    fn engines_at_hand(&self) -> Vec<Engine> {
        engine::find_on_search_path(&self.settings).map(|path| Engine::Binary { path }).into_iter().collect()
    }

    async fn devices_of(&self, engine: &Engine) -> Result<Vec<EngineDevice>, RuntimeError> {
        match engine {
            Engine::Binary { path } => devices::ask(path).await,
            // The one environment there is holds an engine for the processor alone.
            _ => Ok(Vec::new()),
        }
    }

    fn plan(&self, request: &PlanRequest<'_>) -> Result<LaunchPlan, RuntimeError> {
        plan::plan(request)
    }

    fn explain_exit(&self, stderr_tail: &[String]) -> Option<ExitCause> {
        explain::explain(stderr_tail)
    }
}

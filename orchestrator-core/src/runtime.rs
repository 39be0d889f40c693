//! The trait [`Runtime`]: what an inference engine must tell us so that we can run it.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{EnvRegistry, Environment};
use crate::error::{Coded, ErrorCode};
use crate::hardware::EngineDevice;
use crate::instance::{ExitCause, InstanceSpec};
use crate::launcher::LaunchPlan;
use crate::memory::LoadSettings;
use crate::model::InstalledModel;
use crate::names::EnvKey;

/// A kind of inference engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RuntimeKind {
    /// llama.cpp's server.
    #[default]
    LlamaCpp,
}

impl RuntimeKind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::LlamaCpp];

    /// Returns the name as it is written in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama_cpp",
        }
    }
}

/// An engine that was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// A program of its own.
    Binary {
        /// Where it lies.
        path: PathBuf,
    },
    /// A launcher script inside an environment.
    Environment(Environment),
}

impl Engine {
    /// Returns its name for people: its file, or its environment.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Binary { path } => path.display().to_string(),
            Self::Environment(environment) => format!("environment {}", environment.key),
        }
    }
}

/// Everything a launch plan is made from.
#[derive(Debug, Clone)]
pub struct PlanRequest<'a> {
    /// The instance's configuration.
    pub spec: &'a InstanceSpec,
    /// Its model, looked at.
    pub model: &'a InstalledModel,
    /// The engine to use.
    pub engine: &'a Engine,
    /// Where the server is to listen.
    pub listen: SocketAddr,
}

/// What a runtime is able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeCapabilities {
    /// Whether answers can be constrained to a JSON schema.
    pub json_schema: bool,
    /// Whether the engine has tool calls of its own.
    pub native_tools: bool,
    /// Whether it makes embeddings.
    pub embeddings: bool,
}

/// Why a runtime cannot run an instance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A setting has no meaning for this engine.
    #[error("`{setting}` cannot be honoured by `{runtime}`: {reason}")]
    SettingUnsupported {
        /// The setting's path in the configuration, such as `gpu.layers`.
        setting: String,
        /// The runtime.
        runtime: &'static str,
        /// Why not.
        reason: String,
    },
    /// The configured program does not exist, or none was found.
    #[error("no engine for `{runtime}` was found: {reason}")]
    EngineNotFound {
        /// The runtime.
        runtime: &'static str,
        /// Where it was looked for.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The configured program cannot be run.
    #[error("`{path}` cannot be run: {reason}")]
    EngineUnusable {
        /// The program.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The environment it needs is not there or cannot be read.
    #[error("the environment of `{runtime}` cannot be used")]
    Environment {
        /// The runtime.
        runtime: &'static str,
        /// Why.
        #[source]
        source: crate::env::EnvError,
    },
}

impl Coded for RuntimeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::SettingUnsupported { .. } => ErrorCode::SettingUnsupported,
            Self::EngineNotFound { .. } => ErrorCode::EngineNotFound,
            Self::EngineUnusable { .. } => ErrorCode::EngineUnusable,
            Self::Environment { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::SettingUnsupported { setting, .. } => Some(format!("take `{setting}` out of the instance's configuration")),
            Self::EngineNotFound { hint, .. } => Some(hint.clone()),
            Self::EngineUnusable { .. } => {
                Some("check `engine.binary` in the instance's configuration; `orch doctor` lists the engines that were found".to_owned())
            }
            Self::Environment { source, .. } => source.hint(),
        }
    }
}

/// A kind of inference engine: knows its program, its arguments and its words, and starts nothing itself.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Returns which kind this is.
    fn kind(&self) -> RuntimeKind;

    /// Returns what the engine is able to do.
    fn capabilities(&self) -> RuntimeCapabilities;

    /// Returns the environment that an instance runs in when no program of its own is found.
    fn environment_key(&self, spec: &InstanceSpec) -> Option<EnvKey>;

    /// Finds the engine for an instance: the configured program, then the search path, then the environment.
    async fn find_engine(&self, spec: &InstanceSpec, environments: &dyn EnvRegistry) -> Result<Engine, RuntimeError>;

    /// Returns the engines that are found without any configuration.
    fn engines_at_hand(&self) -> Vec<Engine> {
        Vec::new()
    }

    /// Asks an engine what it could run models on besides the processor. Starts a program for a moment, and is done
    /// within seconds.
    async fn devices_of(&self, engine: &Engine) -> Result<Vec<EngineDevice>, RuntimeError> {
        let _ = engine;
        Ok(Vec::new())
    }

    /// Returns the path that answers 200 when a server of this kind is ready.
    fn health_path(&self) -> &'static str;

    /// Returns the architectures that the engine is known to have. Nothing is concluded from an empty list; from one that lacks an
    /// architecture, a warning.
    fn known_architectures(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns what decides about an instance's memory: its settings, and what its `args` and `env` say to the engine. Pure.
    fn load_settings(&self, spec: &InstanceSpec) -> LoadSettings {
        LoadSettings::of_spec(spec)
    }

    /// Returns how much of the host's memory an engine may fill with prompts it has seen, where nobody says otherwise, in bytes.
    fn prompt_cache_bytes(&self) -> u64 {
        0
    }

    /// Makes the plan. Pure: it starts nothing and looks at nothing but its argument. Every field of the
    /// configuration becomes an argument or is refused by name.
    fn plan(&self, request: &PlanRequest<'_>) -> Result<LaunchPlan, RuntimeError>;

    /// Reads the engine's last words. `None` when they say nothing this runtime knows.
    fn explain_exit(&self, stderr_tail: &[String]) -> Option<ExitCause>;
}

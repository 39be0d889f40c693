//! The configuration of one instance: `instances/<name>/config.json` (or `.yaml`).
//!
//! The defaults stand here and nowhere else; `orch describe` and the schema show them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ConfigDuration;
use crate::model::{ModelReference, ModelReferenceError};
use crate::names::{EnvKey, InstanceName};
use crate::runtime::RuntimeKind;

/// One configured server: a name, a model, a runtime, its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// The name: what clients and commands call the instance, and what the folder of this file is called. Lowercase
    /// letters, digits and inner `-`.
    #[schemars(example = "qwen3-8b")]
    pub name: InstanceName,
    /// The model and how it is loaded.
    pub model: ModelSpec,
    /// The kind of engine.
    #[serde(default)]
    pub runtime: RuntimeKind,
    /// The engine's program, when it is not to be looked for.
    #[serde(default)]
    pub engine: EngineSpec,
    /// The environment to run in. When it is left out, the runtime looks for its program and then for the
    /// environment that suits the GPU backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "llama-cpp-cpu")]
    pub env_key: Option<EnvKey>,
    /// Where the server listens.
    #[serde(default)]
    pub server: ServerSpec,
    /// The device the model runs on.
    #[serde(default)]
    pub gpu: GpuSpec,
    /// Environment variables of the server, beside those it inherits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(example = BTreeMap::from([("OMP_NUM_THREADS", "4")]))]
    pub env: BTreeMap<String, String>,
    /// More arguments of the server, passed on as they are, after ours. One item for each argument: no shell splits
    /// them. Secrets do not belong here: every user of the machine can see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["--embeddings"])]
    pub args: Vec<String>,
    /// How the server's health is watched.
    #[serde(default)]
    pub healthcheck: HealthcheckSpec,
    /// What happens when the server ends by itself.
    #[serde(default)]
    pub restart_policy: RestartPolicySpec,
    /// How the server is stopped.
    #[serde(default)]
    pub stop: StopSpec,
    /// What the server prints and where it goes.
    #[serde(default)]
    pub logs: LogsSpec,
    /// More names by which clients may ask for this instance as `model`. No two instances may share one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["gpt-4o"])]
    pub aliases: Vec<String>,
    /// Stops the server after this long without a request; the next request starts it again. Never, when it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "30m")]
    pub ttl: Option<ConfigDuration>,
    /// The order of starting when several instances start at once, and whose requests come first when not all models fit
    /// into memory: higher first. One step is worth a wait of `limits.priority_step`.
    #[serde(default)]
    pub priority: i32,
    /// Never unloads the instance to make room for another one, nor when it is idle.
    #[serde(default)]
    pub pinned: bool,
    /// Starts the instance when the daemon starts.
    #[serde(default)]
    pub preload: bool,
    /// How many requests are passed on to the server at a time; more wait. No limit, when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = 4)]
    pub concurrency: Option<NonZeroU32>,
    /// The requests that wait for the instance.
    #[serde(default)]
    pub queue: QueueSpec,
    /// The memory that the instance is taken to need. What is left out is measured when it is loaded, and estimated from
    /// the model's file before the first time.
    #[serde(default)]
    pub memory: MemorySpec,
    /// Changes to the requests that are passed on.
    #[serde(default)]
    pub request: RequestSpec,
    /// How tool calls are handled.
    #[serde(default)]
    pub tools: ToolsSpec,
}

impl InstanceSpec {
    /// Returns whether a server that was started with `other` must be started anew to be as this says.
    #[must_use]
    pub fn needs_restart_after(&self, other: &Self) -> bool {
        // Named one by one, so that a new field is thought about.
        let Self {
            name,
            model,
            runtime,
            engine,
            env_key,
            server,
            gpu,
            env,
            args,
            healthcheck,
            restart_policy: _,
            stop: _,
            logs,
            aliases: _,
            ttl: _,
            priority: _,
            pinned: _,
            preload: _,
            concurrency: _,
            queue: _,
            memory: _,
            request: _,
            tools: _,
        } = self;
        (name, model, runtime, engine, env_key) != (&other.name, &other.model, &other.runtime, &other.engine, &other.env_key)
            || (server, gpu, env, args) != (&other.server, &other.gpu, &other.env, &other.args)
            || healthcheck != &other.healthcheck
            || (logs.stdout, logs.stderr) != (other.logs.stdout, other.logs.stderr)
    }
}

/// The model and how it is loaded. It always names its model by an absolute reference: whoever reads a file has
/// turned `path` into one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "ModelSection")]
#[schemars(with = "ModelSection")]
pub struct ModelSpec {
    /// The model's reference.
    #[serde(rename = "ref")]
    pub reference: ModelReference,
    /// The context in tokens, over all parallel requests. What the model's source says, when it is absent, or else the
    /// engine's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_size: Option<NonZeroU32>,
    /// The largest batch of prompt tokens worked on at once. The engine's own choice, when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<NonZeroU32>,
    /// How many processor threads the engine uses. The engine's own choice, when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<NonZeroU16>,
}

impl ModelSpec {
    /// Names a model and leaves everything else to the engine.
    #[must_use]
    pub const fn new(reference: ModelReference) -> Self {
        Self { reference, context_size: None, batch_size: None, threads: None }
    }
}

/// The model and how it is loaded: `ref` or `path`, and settings of the engine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "ModelSpec")]
#[schemars(extend("oneOf" = [{ "required": ["ref"] }, { "required": ["path"] }]))]
struct ModelSection {
    /// The model's reference: `hf:owner/repo[@revision][:file-or-quant]`, `ollama:name[:tag]` or
    /// `file:/path/model.gguf`. Give this or `path`.
    #[serde(default, rename = "ref")]
    #[schemars(example = "hf:owner/repo:Q4_K_M")]
    reference: Option<ModelReference>,
    /// The model's file. A relative path starts at the folder of the configuration file. Give this or `ref`.
    #[serde(default)]
    #[schemars(example = "/models/qwen3-8b-q4_k_m.gguf")]
    path: Option<PathBuf>,
    /// The context in tokens, over all parallel requests: each of `server.parallel` gets its part. When it is left
    /// out, what the model's source says (`num_ctx` of the Ollama library, for each request), or else the engine's own choice.
    #[serde(default)]
    #[schemars(example = 8192)]
    context_size: Option<NonZeroU32>,
    /// The largest batch of prompt tokens worked on at once. The engine's own choice, when it is left out.
    #[serde(default)]
    #[schemars(example = 512)]
    batch_size: Option<NonZeroU32>,
    /// How many processor threads the engine uses. The engine's own choice, when it is left out.
    #[serde(default)]
    #[schemars(example = 8)]
    threads: Option<NonZeroU16>,
}

/// A model section that names no model, or two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelSectionError {
    /// Neither key is there.
    #[error("one of `ref` and `path` must be given")]
    Missing,
    /// Both keys are there.
    #[error("only one of `ref` and `path` may be given")]
    Both,
    /// The path cannot be a reference.
    #[error(transparent)]
    Path(#[from] ModelReferenceError),
}

impl TryFrom<ModelSection> for ModelSpec {
    type Error = ModelSectionError;

    fn try_from(section: ModelSection) -> Result<Self, ModelSectionError> {
        let reference = match (section.reference, section.path) {
            (Some(reference), None) => reference,
            (None, Some(path)) => ModelReference::try_file(path)?,
            (None, None) => return Err(ModelSectionError::Missing),
            (Some(_), Some(_)) => return Err(ModelSectionError::Both),
        };
        let ModelSection { context_size, batch_size, threads, .. } = section;
        Ok(Self { reference, context_size, batch_size, threads })
    }
}

/// The engine's program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSpec {
    /// The server's program. A relative path starts at the folder of the configuration file. Looked for, when it is
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/usr/local/bin/llama-server")]
    pub binary: Option<PathBuf>,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSpec {
    /// The address the server listens on. Only loopback: others reach the model through the gateway.
    pub host: IpAddr,
    /// The port the server listens on. No two instances may share one. A free one, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 8601)]
    pub port: Option<NonZeroU16>,
    /// How long the server may take for one request before it gives up.
    pub timeout: ConfigDuration,
    /// How many requests the server works on at a time; they share `model.context_size`.
    pub parallel: NonZeroU16,
}

impl Default for ServerSpec {
    fn default() -> Self {
        Self { host: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None, timeout: ConfigDuration::from_secs(600), parallel: NonZeroU16::MIN }
    }
}

/// The kind of device the model runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// The processor.
    #[default]
    Cpu,
    /// Any GPU with a Vulkan driver.
    Vulkan,
    /// NVIDIA GPUs.
    Cuda,
    /// Apple GPUs.
    Metal,
    /// AMD GPUs.
    Rocm,
}

impl Backend {
    /// Returns the name as it is written in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
            Self::Rocm => "rocm",
        }
    }
}

/// The device the model runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GpuSpec {
    /// The kind of device.
    pub backend: Backend,
    /// The number of the device among those of its kind, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 0)]
    pub device_id: Option<u32>,
    /// How many of the model's layers go to the device; a number above theirs means all. The engine's own choice, when
    /// it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 99)]
    pub layers: Option<u32>,
}

/// How a server is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// `GET path`: 2xx is well, 503 is loading, everything else is bad.
    #[default]
    Http,
    /// A connection is enough.
    Tcp,
    /// A program says so.
    Command,
}

impl ProbeKind {
    /// Returns the name as it is written in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Command => "command",
        }
    }
}

/// How the server's health is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthcheckSpec {
    /// How the server is asked.
    pub probe: ProbeKind,
    /// The path that the probe `http` asks for. The runtime's own, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/health")]
    pub path: Option<String>,
    /// The path that is asked for when the server does not know the first one (it answers 404, 405 or 501).
    pub fallback_path: String,
    /// The program that the probe `command` runs, and its arguments, one item for each: no shell splits them. Status 0
    /// says that the server is well; else the last line of the output says why not. Finds `ORCH_INSTANCE`,
    /// `ORCH_SERVER_HOST`, `ORCH_SERVER_PORT` and the variables of `env` in its environment, and is killed after
    /// `timeout`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["/usr/local/bin/check-model", "--quick"])]
    pub command: Vec<String>,
    /// The time between two questions to a healthy server.
    pub interval: ConfigDuration,
    /// How long one answer may take.
    pub timeout: ConfigDuration,
    /// How many answers in a row must be bad before the server counts as unhealthy.
    pub retries: NonZeroU16,
    /// How long the server may take to become ready after its start. Large models load for minutes.
    pub start_period: ConfigDuration,
}

impl Default for HealthcheckSpec {
    fn default() -> Self {
        Self {
            probe: ProbeKind::Http,
            path: None,
            fallback_path: "/v1/models".to_owned(),
            command: Vec::new(),
            interval: ConfigDuration::from_secs(5),
            timeout: ConfigDuration::from_secs(5),
            retries: const { NonZeroU16::new(3).unwrap() },
            start_period: ConfigDuration::from_secs(600),
        }
    }
}

/// What happens when the server ends by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RestartPolicySpec {
    /// Whether the server is started again.
    pub enabled: bool,
    /// How many times in a row it is started again; a healthy period of `reset_after` clears the count.
    pub max_retries: u32,
    /// The wait before the first new start.
    pub initial_delay: ConfigDuration,
    /// By how much each wait is longer than the one before; at least 1.
    pub backoff_multiplier: f64,
    /// The longest wait.
    pub max_delay: ConfigDuration,
    /// How long the server must have been healthy for its earlier failures to be forgotten.
    pub reset_after: ConfigDuration,
}

impl Default for RestartPolicySpec {
    fn default() -> Self {
        Self {
            enabled: true,
            max_retries: 10,
            initial_delay: ConfigDuration::from_secs(1),
            backoff_multiplier: 2.0,
            max_delay: ConfigDuration::from_secs(60),
            reset_after: ConfigDuration::from_secs(600),
        }
    }
}

/// How the server is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopSpec {
    /// How long the server may take to end by itself before it is killed.
    pub grace: ConfigDuration,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self { grace: ConfigDuration::from_secs(10) }
    }
}

/// What the server prints and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogsSpec {
    /// Whether standard output is kept.
    pub stdout: bool,
    /// Whether the error output is kept. The last lines of it explain a failed start.
    pub stderr: bool,
    /// The size in MiB from which a log is rotated.
    pub max_size_mb: NonZeroU32,
    /// How many old logs are kept.
    pub rotation: u8,
}

impl Default for LogsSpec {
    fn default() -> Self {
        Self { stdout: true, stderr: true, max_size_mb: const { NonZeroU32::new(20).unwrap() }, rotation: 3 }
    }
}

/// The requests that wait for an instance: until it is loaded, or until it has a place for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSpec {
    /// How many requests may wait; one more is answered with 429 and an estimate of the wait.
    pub depth: NonZeroU32,
    /// How long a request may wait. As long as `limits.start_wait` of the daemon, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "1m")]
    pub max_wait: Option<ConfigDuration>,
}

impl Default for QueueSpec {
    fn default() -> Self {
        Self { depth: const { NonZeroU32::new(256).unwrap() }, max_wait: None }
    }
}

/// The memory that an instance is taken to need.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySpec {
    /// The machine's memory, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 6_000)]
    pub host_mb: Option<u64>,
    /// The memory of its GPU, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 9_000)]
    pub device_mb: Option<u64>,
}

/// Changes to the requests that are passed on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestSpec {
    /// Fields of the request's body that are set to these values, whatever the client sent.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    #[schemars(example = serde_json::json!({"temperature": 0.2}))]
    pub set: serde_json::Map<String, serde_json::Value>,
    /// Fields of the request's body that are taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(example = ["logit_bias"])]
    pub strip: Vec<String>,
}

impl RequestSpec {
    /// Returns whether requests pass unchanged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.strip.is_empty()
    }
}

/// How tool calls are handled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsSpec {
    /// What is done with the tool calls of the model.
    pub mode: ToolsMode,
}

/// What is done with the tool calls of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolsMode {
    /// They pass as the engine made them.
    #[default]
    Passthrough,
    /// The engine's own calls are checked against the tools' schemas before they leave; what is wrong is repaired
    /// where that is certain, and else the model is asked again or the request fails.
    Validated,
    /// The model is made to write its calls in a checked form, whatever the engine and the model know of tools.
    Strict,
}

impl ToolsMode {
    /// Every mode, from the loosest to the strictest.
    pub const ALL: [Self; 3] = [Self::Passthrough, Self::Validated, Self::Strict];

    /// Returns the name as it is written in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Validated => "validated",
            Self::Strict => "strict",
        }
    }
}

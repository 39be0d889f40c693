//! What goes over the wire of the control API besides the types of `orchestrator-core`: queries, bodies and
//! answers that exist only because two processes talk to each other. Values only, no behaviour.

mod models;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use orchestrator_core::event::Timestamp;

pub use models::{
    ActivateRequest, CatalogQuery, FitBody, ImportBody, InstallBody, ModelInfoQuery, ModelUsage, ProviderName, ProviderRow, PruneBody,
    RemoveModelBody, SearchQuery,
};
pub use orchestrator_core::instance::logs::{LogLine, LogStream};
pub use orchestrator_core::memory_watch::StandingWarning;
pub use orchestrator_core::orchestrator::predecessors::Predecessor;
pub use orchestrator_core::orchestrator::{InstanceDescription, InstanceList, RuntimeStatus, RuntimeSummary, ServedModel};

/// The answer of `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthAnswer {
    /// `ok` while the daemon serves, `stopping` while it goes down.
    pub status: String,
    /// The daemon's version.
    pub version: String,
}

/// The answer of `GET /api/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonStatus {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The home it serves; where the XDG directories are used, the one its state lies in.
    pub home: String,
    /// The file it logs to when it runs in the background.
    #[serde(default)]
    pub log: String,
    /// Where clients of the gateway reach it, such as `http://127.0.0.1:8484`.
    pub endpoint: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// For how many seconds it has run.
    pub uptime_seconds: u64,
    /// How many instances there are.
    pub instances: InstanceCounts,
    /// How each kind of engine does.
    #[serde(default)]
    pub runtimes: Vec<RuntimeSummary>,
    /// What a person should know for as long as it is so, such as a full memory.
    #[serde(default)]
    pub warnings: Vec<StandingWarning>,
    /// Daemons that this one replaced and that still answer what had begun with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<Predecessor>,
}

/// How many instances there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceCounts {
    /// With a usable configuration.
    pub configured: usize,
    /// With a server that runs, ready or not.
    pub running: usize,
    /// With a server that answers.
    pub ready: usize,
}

/// The query of `POST /api/v1/instances/{name}/up|down|restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WaitQuery {
    /// Answers when the instance is ready or has failed, and not at once.
    pub wait: bool,
}

/// The query of `DELETE /api/v1/instances/{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveQuery {
    /// Stops the instance first, where it runs.
    pub force: bool,
}

/// The query of `GET /api/v1/instances/{name}/logs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogQuery {
    /// How many of the last lines.
    pub tail: usize,
    /// Which output.
    pub stream: LogStream,
    /// Goes on with new lines as they come (`text/event-stream`).
    pub follow: bool,
}

impl LogQuery {
    /// The largest number of lines one request may ask for.
    pub const LARGEST_TAIL: usize = 100_000;
}

impl Default for LogQuery {
    fn default() -> Self {
        Self { tail: 100, stream: LogStream::Both, follow: false }
    }
}

/// The answer of `GET /api/v1/instances/{name}/logs` without `follow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLines {
    /// The last lines, oldest first.
    pub lines: Vec<LogLine>,
}

/// The query of `GET /api/v1/events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventQuery {
    /// The number of the last event that is known already. Without it the last events are given, or, when following,
    /// only new ones.
    pub after: Option<u64>,
    /// How many events at most.
    pub limit: usize,
    /// Goes on with new events as they come (`text/event-stream`).
    pub follow: bool,
}

impl EventQuery {
    /// The largest number of events one answer holds.
    pub const LARGEST_LIMIT: usize = 1_000;
}

impl Default for EventQuery {
    fn default() -> Self {
        Self { after: None, limit: 200, follow: false }
    }
}

/// The query of `GET /api/v1/operations/{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FollowQuery {
    /// Goes on with each change until the end (`text/event-stream`).
    pub follow: bool,
}

/// The query of `GET /api/v1/hardware`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardwareQuery {
    /// Whether engines are asked what they could use; they are started for that, for a moment.
    #[serde(default)]
    pub engine: bool,
}

/// The body of `POST /api/v1/shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownRequest {
    /// Stops the instances too. Without it their servers run on, and the next daemon takes them over.
    pub stop_instances: bool,
}

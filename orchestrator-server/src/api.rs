//! What goes over the wire of the control API besides the types of `orchestrator-core`: queries, bodies and
//! answers that exist only because two processes talk to each other. Values only, no behaviour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use orchestrator_core::Problem;
use orchestrator_core::event::{Event, Timestamp};
use orchestrator_core::instance::{InstanceSpec, InstanceState, InstanceSummary};
use orchestrator_core::model::InstalledModel;

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
    /// The folder its state lies in.
    pub home: String,
    /// Where clients of the gateway reach it, such as `http://127.0.0.1:8484`.
    pub endpoint: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// For how many seconds it has run.
    pub uptime_seconds: u64,
    /// How many instances there are.
    pub instances: InstanceCounts,
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
    /// The number of the last event that is known already.
    pub after: u64,
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
        Self { after: 0, limit: 200, follow: false }
    }
}

/// The query of `GET /api/v1/operations/{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FollowQuery {
    /// Goes on with each change until the end (`text/event-stream`).
    pub follow: bool,
}

/// The query of `GET /api/v1/models/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelInfoQuery {
    /// The model reference.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// The body of `POST /api/v1/shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownRequest {
    /// Stops the instances too. Without it their servers run on, and the next daemon takes them over.
    pub stop_instances: bool,
}

/// The answer of `GET /api/v1/instances`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceList {
    /// The instances, by name.
    pub instances: Vec<InstanceSummary>,
    /// What is wrong with configurations that cannot be used.
    pub problems: Vec<Problem>,
}

/// Where the output of a server lies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct OutputFiles {
    /// Standard output.
    pub stdout: Option<std::path::PathBuf>,
    /// The error output.
    pub stderr: Option<std::path::PathBuf>,
}

/// The answer of `GET /api/v1/instances/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceDescription {
    /// Its row of `ps`.
    pub summary: InstanceSummary,
    /// Its state.
    pub state: InstanceState,
    /// Its configuration, with every default filled in.
    pub spec: InstanceSpec,
    /// Its model, where it could be looked at.
    pub model: Option<InstalledModel>,
    /// The file it is configured in.
    pub config_file: std::path::PathBuf,
    /// Where its output lies.
    pub log_files: OutputFiles,
    /// Its last events, oldest first.
    pub events: Vec<Event>,
}

/// Which output of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// The error output.
    Stderr,
    /// Both, as they come.
    #[default]
    Both,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// The output it was written to.
    pub stream: LogStream,
    /// The line, control characters escaped.
    pub text: String,
}

/// A model that the gateway serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServedModel {
    /// The name clients ask for.
    pub id: String,
    /// The instance behind it.
    pub instance: orchestrator_core::InstanceName,
    /// Its other names.
    pub aliases: Vec<String>,
    /// The state of the instance, in one word.
    pub state: String,
    /// When its configuration was made, in seconds since 1970.
    pub created: i64,
}

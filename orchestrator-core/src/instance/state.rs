//! The states of an instance, each with what is true only in it.
//!
//! ```text
//!            up                plan, spawn          answers 200
//! Stopped ────────► Starting ────────────► Loading ─────────────► Ready ◄───► Unhealthy
//!    ▲                  │ fails               │ exits, too late     │ exits        │ exits, replaced
//!    │                  ▼                     ▼                     ▼              ▼
//!    │              Failed ◄── gives up ── Backoff ◄────────────────┴──────────────┘
//!    │                  │ down                │ down, or its time is over (► Starting)
//!    └── Stopping ◄─────┴─────────────────────┴──── down, from every state
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InstanceSpec;
use crate::error::{ErrorCode, Problem};
use crate::event::Timestamp;
use crate::launcher::WorkloadIdentity;

/// A started server, as it is shown and remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunningServer {
    /// Who it is.
    pub identity: WorkloadIdentity,
    /// Where it listens.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// When it was started.
    pub started_at: Timestamp,
    /// The path that answers 200 when it is healthy.
    pub health_path: String,
}

/// What a starting instance is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartStep {
    /// Looking at the model's files.
    ResolvingModel,
    /// Looking for the engine.
    FindingEngine,
    /// Waiting for memory, or for a place among the instances that may run at once.
    WaitingForRoom,
    /// Choosing a port and starting the program.
    Launching,
}

/// Why a server ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum ExitCause {
    /// It ended with status 0.
    Finished,
    /// It was asked to stop by us.
    Requested,
    /// The kernel or the engine ran out of memory.
    OutOfMemory,
    /// The engine refused an argument.
    BadArgument {
        /// The engine's own words.
        detail: String,
    },
    /// The port was taken.
    PortTaken,
    /// A shared library or module was missing.
    MissingLibrary {
        /// The engine's own words.
        detail: String,
    },
    /// The engine does not know the model's architecture.
    UnknownArchitecture {
        /// The engine's own words.
        detail: String,
    },
    /// The engine could not load the model.
    ModelRejected {
        /// The engine's own words.
        detail: String,
    },
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// The signal's name, such as `SIGKILL`.
        name: String,
    },
    /// It did not become ready within its start period, and was ended.
    NeverReady {
        /// What was seen when it was last asked.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// It stopped answering, and was ended.
    Unresponsive,
    /// It ended with this status, and said nothing we know.
    Status {
        /// The exit status.
        status: i32,
    },
    /// It is gone, and nobody could see how: it was adopted from an earlier daemon.
    Unknown,
}

impl ExitCause {
    /// Returns whether another start with the same settings can be expected to end the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::BadArgument { .. } | Self::MissingLibrary { .. } | Self::UnknownArchitecture { .. } | Self::ModelRejected { .. }
        )
    }
}

impl ExitCause {
    /// Returns the cause in one word, the same as on the wire: for what counts causes.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Requested => "requested",
            Self::OutOfMemory => "out_of_memory",
            Self::BadArgument { .. } => "bad_argument",
            Self::PortTaken => "port_taken",
            Self::MissingLibrary { .. } => "missing_library",
            Self::UnknownArchitecture { .. } => "unknown_architecture",
            Self::ModelRejected { .. } => "model_rejected",
            Self::Signal { .. } => "signal",
            Self::NeverReady { .. } => "never_ready",
            Self::Unresponsive => "unresponsive",
            Self::Status { .. } => "status",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for ExitCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Finished => f.write_str("it ended by itself with status 0"),
            Self::Requested => f.write_str("it was stopped on request"),
            Self::OutOfMemory => f.write_str("it ran out of memory"),
            Self::BadArgument { detail } => write!(f, "it refused an argument: {detail}"),
            Self::PortTaken => f.write_str("its port was taken"),
            Self::MissingLibrary { detail } => write!(f, "a library is missing: {detail}"),
            Self::UnknownArchitecture { detail } => write!(f, "it does not know the model's architecture: {detail}"),
            Self::ModelRejected { detail } => write!(f, "it could not load the model: {detail}"),
            Self::Signal { name, .. } => write!(f, "it was ended by {name}"),
            Self::NeverReady { reason } if reason.is_empty() => f.write_str("it did not become ready in time"),
            Self::NeverReady { reason } => write!(f, "it did not become ready in time: {reason}"),
            Self::Unresponsive => f.write_str("it stopped answering"),
            Self::Status { status } => write!(f, "it exited with status {status}"),
            Self::Unknown => f.write_str("it is gone; its exit status was not ours to see"),
        }
    }
}

/// How a server ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExitReport {
    /// Why, in our words.
    pub cause: ExitCause,
    /// The last lines of its error output, control characters escaped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr_tail: Vec<String>,
    /// When it was seen.
    pub at: Timestamp,
}

/// Why an instance is not running although it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub enum Failure {
    /// It could not be started at all.
    NotStarted(Problem),
    /// Its server ended.
    Exited(ExitReport),
}

impl Failure {
    /// Describes the failure for people and for the wire.
    #[must_use]
    pub fn to_problem(&self, name: &str) -> Problem {
        match self {
            Self::NotStarted(problem) => problem.clone(),
            Self::Exited(report) => {
                let code = match report.cause {
                    ExitCause::NeverReady { .. } => ErrorCode::InstanceStartTimeout,
                    ExitCause::PortTaken => ErrorCode::PortTaken,
                    _ => ErrorCode::InstanceStartFailed,
                };
                let mut problem = Problem::new(code, format!("the server of `{name}` failed")).with_cause(report.cause.to_string());
                problem.stderr_tail.clone_from(&report.stderr_tail);
                let more = match report.cause {
                    ExitCause::NeverReady { .. } => "; if it only needs longer, raise `healthcheck.start_period` in its configuration",
                    _ => "",
                };
                problem.with_hint(format!("run `orch logs {name} --stream stderr` for all it said{more}"))
            }
        }
    }

    /// Returns the failure in one word: for what counts failures.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotStarted(_) => "not_started",
            Self::Exited(report) => report.cause.kind(),
        }
    }

    /// Returns the stable code of the failure.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotStarted(problem) => problem.code,
            Self::Exited(_) => ErrorCode::InstanceStartFailed,
        }
    }
}

/// The state of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum InstanceState {
    /// Nothing runs, and nothing should.
    Stopped {
        /// How the last server ended, where one ran since the daemon started.
        last_exit: Option<ExitReport>,
    },
    /// Preparing to run a server.
    Starting {
        /// Since when.
        since: Timestamp,
        /// Doing what.
        step: StartStep,
    },
    /// A server runs and is not ready yet.
    Loading {
        /// The server.
        server: RunningServer,
        /// What it last said about itself, such as `loading model`.
        detail: String,
    },
    /// A server runs and answers.
    Ready {
        /// The server.
        server: RunningServer,
        /// Since when.
        since: Timestamp,
    },
    /// A server runs and answers badly or not at all.
    Unhealthy {
        /// The server.
        server: RunningServer,
        /// Since when.
        since: Timestamp,
        /// What is wrong.
        reason: String,
        /// How many answers in a row were bad.
        #[serde(default)]
        bad_answers: u16,
        /// How many bad answers in a row get it replaced.
        #[serde(default)]
        replaced_after: u16,
    },
    /// The server is being ended.
    Stopping {
        /// The server.
        server: RunningServer,
        /// Since when.
        since: Timestamp,
    },
    /// The server ended, and the next start is waited for.
    Backoff {
        /// When the next start is due.
        until: Timestamp,
        /// How many starts failed in a row.
        attempt: u32,
        /// Why.
        failure: Failure,
    },
    /// The server ended, and there will be no other start without a person.
    Failed {
        /// Since when.
        since: Timestamp,
        /// Why.
        failure: Failure,
    },
}

impl InstanceState {
    /// Returns the server, in the states that have one.
    #[must_use]
    pub fn server(&self) -> Option<&RunningServer> {
        match self {
            Self::Loading { server, .. } | Self::Ready { server, .. } | Self::Unhealthy { server, .. } | Self::Stopping { server, .. } => {
                Some(server)
            }
            Self::Stopped { .. } | Self::Starting { .. } | Self::Backoff { .. } | Self::Failed { .. } => None,
        }
    }

    /// Returns what a sentence says of an instance in this state, such as `is ready`.
    #[must_use]
    pub const fn phrase(&self) -> &'static str {
        match self {
            Self::Stopped { .. } => "is stopped",
            Self::Starting { .. } => "is starting",
            Self::Loading { .. } => "is loading its model",
            Self::Ready { .. } => "is ready",
            Self::Unhealthy { .. } => "is unhealthy",
            Self::Stopping { .. } => "is being stopped",
            Self::Backoff { .. } => "waits for its next start",
            Self::Failed { .. } => "has failed",
        }
    }

    /// Returns why it does not run although it should, in the states that are about that.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Backoff { failure, .. } | Self::Failed { failure, .. } => Some(failure),
            Self::Stopped { .. }
            | Self::Starting { .. }
            | Self::Loading { .. }
            | Self::Ready { .. }
            | Self::Unhealthy { .. }
            | Self::Stopping { .. } => None,
        }
    }

    /// Every name of a state.
    pub const NAMES: [&'static str; 8] = ["stopped", "starting", "loading", "ready", "unhealthy", "stopping", "backoff", "failed"];

    /// Returns the one-word name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stopped { .. } => "stopped",
            Self::Starting { .. } => "starting",
            Self::Loading { .. } => "loading",
            Self::Ready { .. } => "ready",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Stopping { .. } => "stopping",
            Self::Backoff { .. } => "backoff",
            Self::Failed { .. } => "failed",
        }
    }
}

/// What an instance's task publishes: everybody else's view of it.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceSnapshot {
    /// The configuration it runs with, or would.
    pub spec: Arc<InstanceSpec>,
    /// Its state.
    pub state: InstanceState,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// Why it came into this state.
    pub cause: String,
    /// How many times its server was started again by itself since the last `up`.
    pub restarts: u32,
    /// When its next start is due, while one is waited for. Unlike the moment in its state, this holds when somebody sets
    /// the clock.
    pub next_start: Option<Instant>,
    /// Grows by one with each change.
    pub generation: u64,
}

impl InstanceSnapshot {
    /// Returns how long it is until the next start, while one is waited for.
    #[must_use]
    pub fn next_start_in(&self) -> Option<Duration> {
        self.next_start.map(|next_start| next_start.saturating_duration_since(Instant::now()))
    }

    /// Returns its state with the moment of the next start as the clock would show it now.
    #[must_use]
    pub fn state_now(&self) -> InstanceState {
        let mut state = self.state.clone();
        if let (InstanceState::Backoff { until, .. }, Some(left)) = (&mut state, self.next_start_in()) {
            *until = Timestamp::now().after(left);
        }
        state
    }
}

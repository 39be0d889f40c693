//! The trait [`Launcher`]: who starts a [`LaunchPlan`], finds it again, and ends it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Coded, ErrorCode};
use crate::home_failure;
use crate::names::InstanceName;

/// What a runtime wants started for one instance. Plain data, computed without side effects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, without the program's name. Never a secret.
    pub arguments: Vec<String>,
    /// Variables set on top of what the server inherits.
    pub variables: BTreeMap<String, String>,
    /// How the names of variables begin that the server does not inherit.
    #[serde(default)]
    pub removed_prefixes: Vec<String>,
    /// Where the server will listen.
    pub listen: SocketAddr,
    /// The path that answers 200 when the server is ready.
    pub health_path: String,
}

/// What a launcher needs besides the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchOrder {
    /// The instance the server is for.
    pub instance: InstanceName,
    /// What to start.
    pub plan: LaunchPlan,
    /// Where its output is appended; `None` throws it away.
    pub output: OutputFiles,
}

/// Where the output of a server is appended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputFiles {
    /// Standard output.
    pub stdout: Option<PathBuf>,
    /// The error output.
    pub stderr: Option<PathBuf>,
}

impl OutputFiles {
    /// Returns the files in a folder: `stdout.log` and `stderr.log`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { stdout: Some(folder.join("stdout.log")), stderr: Some(folder.join("stderr.log")) }
    }

    /// Returns the files there are, standard output first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.stdout, &self.stderr].into_iter().filter_map(Option::as_deref)
    }
}

/// Who a started workload is, beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum WorkloadIdentity {
    /// A process of this machine.
    Process(ProcessIdentity),
}

impl WorkloadIdentity {
    /// Returns the process id, where there is one.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(process) => Some(process.pid),
        }
    }
}

impl fmt::Display for WorkloadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => write!(f, "process {}", process.pid),
        }
    }
}

/// A process, told apart from every other one that has or had the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// When it started, in clock ticks since the boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

/// How a workload ended, as far as the launcher could see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkloadExit {
    /// It returned this status.
    Status(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is gone, and its status was not ours to see.
    Unseen,
}

/// A workload of ours that was found running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredWorkload {
    /// The instance it was started for.
    pub instance: InstanceName,
    /// Who it is.
    pub identity: WorkloadIdentity,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Why something could not be started, found or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The program could not be started.
    #[error("could not start `{program}`")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A log could not be opened.
    #[error("could not open the log `{path}`")]
    Log {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Some of it is still running.
    #[error("processes {pids:?} of `{instance}` are still running after they were killed")]
    Survivors {
        /// The instance.
        instance: InstanceName,
        /// The processes.
        pids: Vec<u32>,
    },
    /// The system would not tell or do something.
    #[error("could not {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Coded for LaunchError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Spawn { .. } => ErrorCode::EngineUnusable,
            Self::Log { source, .. } => home_failure::code(source),
            Self::Survivors { .. } => ErrorCode::InstanceStopFailed,
            Self::System { .. } => ErrorCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn { program, .. } => Some(format!("check that `{}` exists, is executable and suits this machine", program.display())),
            Self::Log { path, source } => Some(home_failure::way_out(path, source)),
            Self::Survivors { .. } => {
                Some("they hang in the kernel; `orch doctor` shows them, a restart of the machine ends them".to_owned())
            }
            Self::System { .. } => None,
        }
    }
}

/// Starts plans, and finds again what was started before.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// Starts a plan. When this returns, the workload runs and is marked as ours.
    async fn start(&self, order: &LaunchOrder) -> Result<Arc<dyn Workload>, LaunchError>;

    /// Takes over a running workload; `None` when it is gone or is somebody else by now.
    async fn adopt(&self, instance: &InstanceName, identity: &WorkloadIdentity) -> Result<Option<Arc<dyn Workload>>, LaunchError>;

    /// Ends whatever earlier servers of an instance left behind. Returns how many there were. Must not be called
    /// while a server of the instance is meant to run.
    async fn end_leftovers(&self, instance: &InstanceName) -> Result<usize, LaunchError>;

    /// Finds everything that runs and carries our mark, leaders only.
    async fn discover(&self) -> Result<Vec<DiscoveredWorkload>, LaunchError>;
}

/// A started workload. Dropping it lets the workload run on.
#[async_trait]
pub trait Workload: Send + Sync {
    /// Returns who it is.
    fn identity(&self) -> &WorkloadIdentity;

    /// Waits for its end. May be called by several, at any time, and dropped.
    async fn wait(&self) -> WorkloadExit;

    /// Asks it to end, waits up to `grace`, then kills it, with everything it started. Returns when nothing of
    /// it is left.
    async fn stop(&self, grace: Duration) -> Result<WorkloadExit, LaunchError>;

    /// Returns the resident memory of everything it started, in bytes.
    async fn memory_bytes(&self) -> Option<u64>;

    /// Returns its processes: itself and everything it started, as far as they can be told.
    async fn process_ids(&self) -> Vec<u32> {
        self.identity().pid().into_iter().collect()
    }

    /// Returns whether the kernel has killed a program for want of memory since this one was started (or taken over):
    /// one in the same control group where that is counted, else one of this machine.
    async fn saw_oom_kill(&self) -> bool {
        false
    }

    /// Returns whether the listener at `address` belongs to this workload; `None` when that cannot be told.
    async fn owns_listener(&self, address: SocketAddr) -> Option<bool>;
}

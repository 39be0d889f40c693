//! The trait [`EnvRegistry`]: installed software stacks that runtimes need, by their key.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::error::{Coded, ErrorCode, Problem};
use crate::event::Timestamp;
use crate::names::EnvKey;
use crate::operation::Progress;

/// An installed environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Its key.
    pub key: EnvKey,
    /// The digest of the recipe it was built from; also the name of its folder.
    pub digest: String,
    /// Its folder: immutable, and free to be moved.
    pub path: PathBuf,
    /// The Python program inside it.
    pub python: PathBuf,
    /// The launcher script inside it.
    pub launcher: PathBuf,
    /// The version of the engine.
    pub engine_version: String,
    /// When it was built.
    pub created_at: Timestamp,
    /// Its size on disk, in bytes.
    pub size_bytes: u64,
}

/// One line of `orch env ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentStatus {
    /// The key.
    pub key: EnvKey,
    /// What it is for, in one sentence.
    pub description: String,
    /// The environment, where it is installed and can be used.
    pub installed: Option<Environment>,
    /// Why what is installed cannot be used.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// Whether it was built from an older recipe than the one we have now.
    pub outdated: bool,
}

/// What a test of an environment looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentReport {
    /// The key.
    pub key: EnvKey,
    /// The checks, in the order they ran.
    pub checks: Vec<EnvironmentCheck>,
}

impl EnvironmentReport {
    /// Returns whether every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// One check of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentCheck {
    /// What was looked at, such as `import xllamacpp`.
    pub name: String,
    /// Whether it was as it should be.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

/// Why an environment cannot be built, used or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// There is no recipe with that key.
    #[error("there is no recipe for an environment `{key}`")]
    UnknownKey {
        /// The key.
        key: EnvKey,
        /// The keys there are.
        known: Vec<EnvKey>,
    },
    /// The environment is not installed.
    #[error("the environment `{key}` is not installed")]
    NotInstalled {
        /// The key.
        key: EnvKey,
    },
    /// A program that building needs is missing.
    #[error("`{tool}` is needed to build environments: {reason}")]
    ToolMissing {
        /// The program.
        tool: String,
        /// What was tried.
        reason: String,
        /// What to install.
        hint: String,
    },
    /// The package index could not be reached.
    #[error("the package index could not be reached while building `{key}`: {detail}")]
    Network {
        /// The key.
        key: EnvKey,
        /// The installer's own words.
        detail: String,
        /// The log of the build.
        log: PathBuf,
    },
    /// The disk is full.
    #[error("the disk is full: `{key}` could not be built in `{path}`")]
    DiskFull {
        /// The key.
        key: EnvKey,
        /// The folder.
        path: PathBuf,
    },
    /// A step of the build failed.
    #[error("building `{key}` failed at `{step}`: {detail}")]
    BuildFailed {
        /// The key.
        key: EnvKey,
        /// The step.
        step: String,
        /// The last words of the program that failed.
        detail: String,
        /// The log of the build.
        log: PathBuf,
    },
    /// What was built does not work.
    #[error("`{key}` was built but does not work: {detail}")]
    Unhealthy {
        /// The key.
        key: EnvKey,
        /// The checks that failed.
        detail: String,
        /// The log of the build.
        log: PathBuf,
    },
    /// Instances use it.
    #[error("the environment `{key}` is used by {}", users.join(", "))]
    InUse {
        /// The key.
        key: EnvKey,
        /// The instances.
        users: Vec<String>,
    },
    /// The work was cancelled.
    #[error("building `{key}` was cancelled")]
    Cancelled {
        /// The key.
        key: EnvKey,
    },
    /// A file or folder could not be read or written.
    #[error("could not {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Coded for EnvError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownKey { .. } => ErrorCode::EnvUnknown,
            Self::NotInstalled { .. } => ErrorCode::EnvNotInstalled,
            Self::ToolMissing { .. } => ErrorCode::EnvToolMissing,
            Self::Network { .. } => ErrorCode::EnvNetwork,
            Self::DiskFull { .. } => ErrorCode::DiskFull,
            Self::BuildFailed { .. } | Self::Io { .. } => ErrorCode::EnvBuildFailed,
            Self::Unhealthy { .. } => ErrorCode::EnvUnhealthy,
            Self::InUse { .. } => ErrorCode::EnvInUse,
            Self::Cancelled { .. } => ErrorCode::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { known, .. } => {
                let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
                Some(format!("the recipes are {}", known.join(", ")))
            }
            Self::NotInstalled { key } => Some(format!("run `orch env create {key}`")),
            Self::ToolMissing { hint, .. } => Some(hint.clone()),
            Self::Network { log, .. } => {
                Some(format!("check the network, or point `UV_INDEX_URL` at a mirror, and try again; the log is `{}`", log.display()))
            }
            Self::DiskFull { path, .. } => Some(format!("free some space on the disk of `{}` and try again", path.display())),
            Self::BuildFailed { log, .. } => Some(format!("the whole log is `{}`", log.display())),
            Self::Unhealthy { key, log, .. } => {
                Some(format!("build it again with `orch env create {key}`; the log of the last build is `{}`", log.display()))
            }
            Self::InUse { users, .. } => users.first().map(|user| format!("stop them first: `orch down {user}`")),
            Self::Cancelled { .. } | Self::Io { .. } => None,
        }
    }
}

/// Builds and keeps environments. Creating one that is there already does nothing.
#[async_trait]
pub trait EnvRegistry: Send + Sync {
    /// Lists the recipes and what is installed of them.
    async fn list(&self) -> Result<Vec<EnvironmentStatus>, EnvError>;

    /// Returns the installed environment that instances with this key use.
    async fn find(&self, key: &EnvKey) -> Result<Environment, EnvError>;

    /// Builds the environment, unless it is there. Only one process builds a key at a time; the others wait and
    /// then find it. A build that fails or is cancelled leaves nothing under the final name.
    async fn create(&self, key: &EnvKey, progress: &dyn Progress, cancel: &CancellationToken) -> Result<Environment, EnvError>;

    /// Tests the installed environment: imports, versions, a start of the engine's help.
    async fn test(&self, key: &EnvKey) -> Result<EnvironmentReport, EnvError>;

    /// Removes every version of the environment.
    async fn remove(&self, key: &EnvKey) -> Result<(), EnvError>;
}

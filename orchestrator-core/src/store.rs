//! The trait [`StateStore`]: what must be remembered across restarts, and the store on `SQLite` that does it.
//!
//! A method returns when what it was given is on disk. Nothing on the path of a request calls one.

mod migrations;
pub mod sqlite;

pub use sqlite::{OpenOutcome, SqliteStore};

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::Environment;
use crate::error::{Coded, ErrorCode};
use crate::event::{Event, EventDraft, Timestamp};
use crate::home_failure;
use crate::instance::{InstanceSpec, RunningServer};
use crate::model::{InstalledModel, ModelReference};
use crate::names::{EnvKey, InstanceName};
use crate::operation::Operation;

/// What is remembered of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRecord {
    /// Its name.
    pub name: InstanceName,
    /// Whether it should run.
    pub wanted: bool,
    /// The configuration its server was started with, so that it can be watched even if the file is gone or broken.
    /// Absent when an earlier version wrote it and this one cannot read it any more. The secrets in its `env` are not
    /// stored.
    pub spec: Option<InstanceSpec>,
    /// Its server, while one was started and not seen to end.
    pub server: Option<RunningServer>,
    /// How many times its server was started again by itself since the last `up`.
    pub restarts: u32,
}

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A newer version wrote the database.
    #[error("`{path}` has the schema version {found}, and this program knows versions up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The database cannot be opened.
    #[error("could not open the state database `{path}`")]
    Open {
        /// The database.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("could not {action} in the state database")]
    Statement {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// A stored value is not what it should be.
    #[error("the state database holds an unreadable {what}: {reason}")]
    Corrupt {
        /// What kind of value.
        what: &'static str,
        /// Why it is unreadable.
        reason: String,
    },
    /// A file beside the database could not be read or written.
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
    /// The store was closed.
    #[error("the state store is closed")]
    Closed,
}

impl Coded for StoreError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Newer { .. } => ErrorCode::StoreNewer,
            Self::Open { source, .. } | Self::Statement { source, .. } if is_full(source) => ErrorCode::DiskFull,
            Self::Open { .. } | Self::Statement { .. } | Self::Corrupt { .. } => ErrorCode::StoreFailed,
            // It is closed when its owner goes, and never before.
            Self::Closed => ErrorCode::DaemonStopping,
            Self::Io { source, .. } => home_failure::code(source),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { path, .. } => Some(format!(
                "use the newer `orch` that wrote it, or move `{}` away to begin with empty state; running servers are found again",
                path.display()
            )),
            Self::Io { path, source, .. } => Some(home_failure::way_out(path, source)),
            Self::Open { source, .. } | Self::Statement { source, .. } if is_full(source) => {
                Some("free some space on the disk of the home directory".to_owned())
            }
            Self::Open { .. } | Self::Statement { .. } => Some("check the permissions and the free space of the home directory".to_owned()),
            Self::Corrupt { .. } | Self::Closed => None,
        }
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

/// What is remembered of a model that was installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRecord {
    /// The model.
    pub model: InstalledModel,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// When an instance last began or ended to use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// Remembers state across restarts.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Returns every instance that is remembered.
    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError>;
    /// Remembers an instance, in place of what was remembered of it.
    async fn put_instance(&self, record: InstanceRecord) -> Result<(), StoreError>;
    /// Forgets an instance.
    async fn delete_instance(&self, name: &InstanceName) -> Result<(), StoreError>;

    /// Returns every model that was installed.
    async fn models(&self) -> Result<Vec<ModelRecord>, StoreError>;
    /// Remembers a model, by its reference.
    async fn put_model(&self, record: ModelRecord) -> Result<(), StoreError>;
    /// Forgets a model.
    async fn delete_model(&self, reference: &ModelReference) -> Result<(), StoreError>;

    /// Returns every environment that was built.
    async fn environments(&self) -> Result<Vec<Environment>, StoreError>;
    /// Remembers an environment, by its key.
    async fn put_environment(&self, environment: Environment) -> Result<(), StoreError>;
    /// Forgets an environment.
    async fn delete_environment(&self, key: &EnvKey) -> Result<(), StoreError>;

    /// Returns the newest operations first, at most `limit`.
    async fn operations(&self, limit: usize) -> Result<Vec<Operation>, StoreError>;
    /// Remembers an operation, in place of what was remembered of it.
    async fn put_operation(&self, operation: Operation) -> Result<(), StoreError>;

    /// Appends events in one transaction and returns them with their numbers. Old ones beyond a limit are let go.
    async fn append_events(&self, drafts: Vec<EventDraft>) -> Result<Vec<Event>, StoreError>;
    /// Returns the events after a number, oldest first, at most `limit`.
    async fn events_after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, StoreError>;
    /// Returns the last events, oldest first, at most `limit`; of one instance or of all.
    async fn last_events(&self, instance: Option<&InstanceName>, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Returns a remembered value.
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// Remembers a value.
    async fn put(&self, key: &str, value: String) -> Result<(), StoreError>;

    /// Checks the whole database (`PRAGMA integrity_check`); an empty list means it is sound.
    async fn check(&self) -> Result<Vec<String>, StoreError>;

    /// Finishes what was asked before, and lets the database go. Everything after that fails with
    /// [`StoreError::Closed`].
    async fn close(&self);
}

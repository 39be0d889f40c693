//! Operations: long jobs with progress that are remembered across a restart.

pub(crate) mod registry;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::event::Timestamp;

/// The identity of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String")]
pub struct OperationId(uuid::Uuid);

impl OperationId {
    /// Makes a new identity; later ones sort after earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7())
    }
}

impl std::fmt::Display for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for OperationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum OperationKind {
    /// Builds an environment.
    CreateEnvironment {
        /// Its key.
        key: crate::names::EnvKey,
    },
    /// Fetches a model.
    Pull {
        /// The model.
        reference: crate::model::ModelReference,
    },
    /// Removes a model from this machine.
    RemoveModel {
        /// The model.
        reference: crate::model::ModelReference,
    },
    /// Registers a model that lies on this machine.
    ImportModel {
        /// The model.
        reference: crate::model::ModelReference,
        /// What happens to it.
        mode: crate::provider::ImportMode,
    },
    /// Switches a runtime to another model.
    Activate {
        /// The instance that becomes the active one.
        instance: crate::names::InstanceName,
    },
}

impl OperationKind {
    /// Returns whether the next owner of the home goes on with it when this one goes.
    #[must_use]
    pub const fn is_resumable(&self) -> bool {
        match self {
            Self::Pull { .. } | Self::RemoveModel { .. } | Self::ImportModel { .. } => true,
            Self::CreateEnvironment { .. } | Self::Activate { .. } => false,
        }
    }
}

impl std::fmt::Display for OperationKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CreateEnvironment { key } => write!(f, "building the environment `{key}`"),
            Self::Pull { reference } => write!(f, "pulling `{reference}`"),
            Self::RemoveModel { reference } => write!(f, "removing `{reference}`"),
            Self::ImportModel { reference, .. } => write!(f, "registering `{reference}`"),
            Self::Activate { instance } => write!(f, "switching to `{instance}`"),
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ProgressUpdate {
    /// The phase, in a few words for people.
    pub phase: String,
    /// What was done of it, where it can be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Of how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted.
    #[serde(default, skip_serializing_if = "ProgressUnit::is_steps")]
    pub unit: ProgressUnit,
    /// How much is done in a second, over the last few of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// After how many seconds it will be done, if it goes on like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// Each file, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileProgress>,
}

/// What the progress of a job counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressUnit {
    /// Steps of any kind.
    #[default]
    Steps,
    /// Bytes.
    Bytes,
}

impl ProgressUnit {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
    fn is_steps(&self) -> bool {
        matches!(self, Self::Steps)
    }
}

/// How far one file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileProgress {
    /// Its name at the source.
    pub name: String,
    /// The bytes that are here.
    pub done: u64,
    /// Its length in bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What happens to it.
    pub phase: FilePhase,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilePhase {
    /// It waits for its turn.
    Waiting,
    /// It is being fetched.
    Fetching,
    /// It is being compared with its digest.
    Verifying,
    /// It is here and right.
    Done,
}

/// Whoever is told how far a job is.
pub trait Progress: Send + Sync {
    /// Takes the newest update. Must return at once.
    fn update(&self, update: ProgressUpdate);
}

/// Takes no interest.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn update(&self, _: ProgressUpdate) {}
}

/// Where an operation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum OperationStatus {
    /// It is under way.
    Running {
        /// How far it is.
        progress: ProgressUpdate,
    },
    /// It was done.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// It could not be done.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        problem: Problem,
    },
    /// A person stopped it; or the end of the daemon did, and it is of a kind that nobody goes on with.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

impl OperationStatus {
    /// Returns whether it will not change any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Running { .. })
    }
}

/// A long job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// Its identity.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Where it stands.
    pub status: OperationStatus,
}

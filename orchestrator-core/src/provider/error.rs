//! What can go wrong between us and the places models come from.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Coded, ErrorCode};
use crate::model::ModelReference;

/// Why a provider could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// There is nothing at that place.
    #[error("the model `{reference}` does not exist")]
    NotFound {
        /// The model.
        reference: ModelReference,
        /// Names near to the one asked for.
        nearest: Vec<String>,
    },
    /// It is not there, or only those who are known are told that it is: the source does not say which.
    #[error("the model `{reference}` does not exist, or is not shown to us")]
    NotShown {
        /// The model.
        reference: ModelReference,
        /// What to do.
        hint: String,
    },
    /// It exists at its source, and is not on this machine.
    #[error("the model `{reference}` is not installed")]
    NotInstalled {
        /// The model.
        reference: ModelReference,
    },
    /// The source has the repository, but not this part of it.
    #[error("`{reference}` names {what} that is not there")]
    PartNotFound {
        /// The model.
        reference: ModelReference,
        /// What is missing, such as "a revision `v2`".
        what: String,
        /// What there is instead.
        choices: Vec<String>,
    },
    /// More than one thing is meant.
    #[error("`{reference}` can mean several files")]
    Ambiguous {
        /// The model.
        reference: ModelReference,
        /// References that mean one thing each.
        choices: Vec<String>,
    },
    /// It is there and cannot be read.
    #[error("the model `{reference}` cannot be read")]
    Unreadable {
        /// The model.
        reference: ModelReference,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is there and is not what it should be.
    #[error("`{path}` is no usable model: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The source offers something that is not taken: a name that leaves its folder, a format that runs code.
    #[error("`{reference}` is refused: {reason}")]
    Refused {
        /// The model.
        reference: ModelReference,
        /// Why.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// This provider is not set up, or cannot do this.
    #[error("`{reference}` needs the provider `{provider}`, which is not available")]
    Unavailable {
        /// The model.
        reference: ModelReference,
        /// The provider.
        provider: &'static str,
        /// What to do.
        hint: String,
    },
    /// The source cannot be reached, or does not answer as it should.
    #[error("{source_name} could not be asked: {reason}")]
    Source {
        /// The source, such as `https://huggingface.co`.
        source_name: String,
        /// What happened.
        reason: String,
        /// What to do.
        hint: Option<String>,
        /// After how long a retry makes sense, where the source says so.
        retry_after: Option<Duration>,
    },
    /// The source wants to know who we are, or does not give it to us.
    #[error("`{reference}` is not given to us: {reason}")]
    AccessDenied {
        /// The model.
        reference: ModelReference,
        /// What the source says.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// What was fetched is not what the source said it would be. Nothing of it was kept.
    #[error("`{file}` is damaged: {reason}")]
    Corrupt {
        /// The file at the source.
        file: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// There is no room for it.
    #[error("there is no room for `{file}` in `{folder}`: {needed} bytes are needed and {free} are free")]
    NoSpace {
        /// What was to be written.
        file: String,
        /// Where.
        folder: PathBuf,
        /// The bytes needed.
        needed: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// A file or folder of the store could not be used.
    #[error("{action} `{path}` failed")]
    Store {
        /// What was tried, such as "writing".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Whoever asked for it no longer wants it.
    #[error("fetching `{reference}` was cancelled")]
    Cancelled {
        /// The model.
        reference: ModelReference,
    },
}

impl Coded for ProviderError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } | Self::NotShown { .. } | Self::NotInstalled { .. } | Self::PartNotFound { .. } => {
                ErrorCode::ModelNotFound
            }
            Self::Ambiguous { .. } => ErrorCode::ModelReferenceInvalid,
            Self::Invalid { .. } | Self::Refused { .. } | Self::Corrupt { .. } => ErrorCode::ModelInvalid,
            Self::Unavailable { .. } | Self::Source { .. } => ErrorCode::ProviderUnavailable,
            Self::AccessDenied { .. } => ErrorCode::ModelAccessDenied,
            Self::NoSpace { .. } => ErrorCode::ModelNoSpace,
            Self::Store { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => ErrorCode::ModelNoSpace,
            Self::Unreadable { .. } | Self::Store { .. } => ErrorCode::ModelUnreadable,
            Self::Cancelled { .. } => ErrorCode::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { nearest, .. } if !nearest.is_empty() => Some(format!("is one of these meant: {}?", nearest.join(", "))),
            Self::NotFound { .. } => {
                Some("check the spelling; for an instance it is `model.path` or `model.ref` of its configuration".to_owned())
            }
            Self::NotInstalled { reference } => Some(format!("`orch model pull {reference}` fetches it")),
            Self::PartNotFound { choices, .. } if choices.is_empty() => None,
            Self::PartNotFound { choices, .. } => Some(format!("there is: {}", choices.join(", "))),
            Self::Ambiguous { choices, .. } => Some(format!("name one of: {}", choices.join(", "))),
            Self::Unreadable { .. } => Some("check the permissions of the file and of the folders above it".to_owned()),
            Self::Invalid { hint, .. } | Self::Refused { hint, .. } | Self::Source { hint, .. } => hint.clone(),
            Self::NotShown { hint, .. } | Self::Unavailable { hint, .. } | Self::AccessDenied { hint, .. } => Some(hint.clone()),
            Self::Corrupt { .. } => Some("try again; if it stays like this, the source itself is damaged".to_owned()),
            Self::NoSpace { .. } => Some("`orch model prune` removes models that no instance uses".to_owned()),
            Self::Store { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("`orch model prune` removes models that no instance uses; what was fetched is kept for the next try".to_owned())
            }
            Self::Store { .. } => Some("check the permissions of the folder, and that its file system can be written to".to_owned()),
            Self::Cancelled { .. } => Some("what was fetched is kept: the same command goes on where it ended".to_owned()),
        }
    }
}

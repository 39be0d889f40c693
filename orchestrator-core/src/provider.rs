//! The trait [`Provider`]: where models come from.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Coded, ErrorCode};
use crate::model::{InstalledModel, ModelReference};

/// A place models come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderKind {
    /// Files and folders of this machine.
    Local,
    /// The Hugging Face hub.
    HuggingFace,
    /// The Ollama library.
    Ollama,
}

impl ProviderKind {
    /// Returns the provider that a reference belongs to.
    #[must_use]
    pub fn of(reference: &ModelReference) -> Self {
        match reference {
            ModelReference::File { .. } => Self::Local,
            ModelReference::HuggingFace { .. } => Self::HuggingFace,
            ModelReference::Ollama { .. } => Self::Ollama,
        }
    }

    /// Returns the name as it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::HuggingFace => "hugging_face",
            Self::Ollama => "ollama",
        }
    }
}

/// Why a provider has no such model.
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
    /// This provider is not set up.
    #[error("`{reference}` needs the provider `{provider}`, which is not available")]
    Unavailable {
        /// The model.
        reference: ModelReference,
        /// The provider.
        provider: &'static str,
        /// What to do.
        hint: String,
    },
}

impl Coded for ProviderError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::ModelNotFound,
            Self::Unreadable { .. } => ErrorCode::ModelUnreadable,
            Self::Invalid { .. } => ErrorCode::ModelInvalid,
            Self::Unavailable { .. } => ErrorCode::ProviderUnavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { nearest, .. } if !nearest.is_empty() => Some(format!("is one of these meant: {}?", nearest.join(", "))),
            Self::NotFound { .. } => Some("check `model.path` or `model.ref` in the instance's configuration".to_owned()),
            Self::Unreadable { .. } => Some("check the permissions of the file and of the folders above it".to_owned()),
            Self::Invalid { hint, .. } => hint.clone(),
            Self::Unavailable { hint, .. } => Some(hint.clone()),
        }
    }
}

/// A place models come from.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Returns which one this is.
    fn kind(&self) -> ProviderKind;

    /// Looks at a model that is on this machine and says what it is. Only its header is read.
    async fn resolve(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError>;

    /// Lists the models of this provider that are on this machine.
    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError>;
}

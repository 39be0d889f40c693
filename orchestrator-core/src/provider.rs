//! The trait [`Provider`]: where models come from.
//!
//! Owns: what a provider is asked and answers. Does not own: quotas, compatibility, who uses a model — those are decided
//! by whoever asks.

mod error;

pub use error::ProviderError;

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::model::{InstalledModel, ModelHeader, ModelReference, PullPlan};
use crate::operation::Progress;

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

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModelQuery {
    /// Words. Everything, for none.
    pub text: String,
    /// How many answers are wanted at most.
    pub limit: usize,
    /// Whether answers that were kept from an earlier search will do, where the source cannot be reached.
    pub stale: bool,
}

/// A model at its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundModel {
    /// How it is named when it is pulled.
    pub reference: ModelReference,
    /// What it is, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How often it was downloaded, where the source tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloads: Option<u64>,
    /// How many people like it, where the source tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// Its licence, where the source tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Whether its makers give it only to those they know.
    #[serde(default)]
    pub gated: bool,
    /// The formats or quantisations there are, where the source tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<String>,
}

/// The answer of a search.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SearchResults {
    /// What was found, the most used first.
    pub models: Vec<FoundModel>,
    /// When the answer was fetched, where it is an old one because the source cannot be reached now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<crate::event::Timestamp>,
}

/// A form that a model comes in at its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Variant {
    /// How it is named when it is pulled.
    pub reference: ModelReference,
    /// Its quantisation, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<String>,
    /// The bytes of its weights.
    pub bytes: u64,
}

/// Who hears of a pull, and who may end it.
#[derive(Clone, Copy)]
pub struct PullWatch<'a> {
    /// Takes its progress.
    pub progress: &'a dyn Progress,
    /// Ends it. What was fetched by then is kept for the next try.
    pub cancel: &'a CancellationToken,
}

/// A model on this machine that is to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelImport {
    /// Its file, the first of several files, or its folder; absolute.
    pub path: PathBuf,
    /// What happens to it.
    pub mode: ImportMode,
}

/// What happens to a model that is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportMode {
    /// It stays where it is.
    #[default]
    InPlace,
    /// It is copied into our own store.
    Copy,
}

/// A place models come from.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Returns which one this is.
    fn kind(&self) -> ProviderKind;

    /// Returns the folder that models are fetched into. `None` for a provider that fetches none, or not into a folder of ours.
    fn store_dir(&self) -> Option<PathBuf> {
        None
    }

    /// Searches the source. A provider without a catalogue finds nothing.
    async fn search(&self, query: &ModelQuery) -> Result<SearchResults, ProviderError> {
        let _ = query;
        Ok(SearchResults::default())
    }

    /// Asks the source what a reference names: files, sizes, digests. Fetches no weights.
    async fn resolve(&self, reference: &ModelReference) -> Result<PullPlan, ProviderError> {
        Err(unavailable(self.kind(), reference))
    }

    /// Lists the forms that the model of a reference comes in at its source, such as its quantisations. A provider that does
    /// not know of any lists none.
    async fn variants(&self, reference: &ModelReference) -> Result<Vec<Variant>, ProviderError> {
        let _ = reference;
        Ok(Vec::new())
    }

    /// Reads the header of the weights at the source, or on this machine where they are here, without fetching the rest.
    async fn header(&self, plan: &PullPlan) -> Result<ModelHeader, ProviderError> {
        Err(unavailable(self.kind(), &plan.reference))
    }

    /// Fetches what a plan names, goes on where an earlier try ended, verifies it and makes it visible. Whoever pulls the same at the
    /// same time, in this process or another, shares the work.
    async fn pull(&self, plan: &PullPlan, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        let _ = watch;
        Err(unavailable(self.kind(), &plan.reference))
    }

    /// Registers a model that lies on this machine: where it is, or as a copy in our own store.
    async fn import(&self, import: &ModelImport, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        let _ = watch;
        let reference = ModelReference::File { path: import.path.clone() };
        Err(unavailable(self.kind(), &reference))
    }

    /// Removes a model from this machine, and what only it used. Returns the bytes that became free.
    async fn remove(&self, model: &InstalledModel) -> Result<u64, ProviderError> {
        Err(unavailable(self.kind(), &model.reference))
    }

    /// Finds a model on this machine and says what it is, without asking the source. Only its header is read.
    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError>;

    /// Lists the models of this provider that are on this machine.
    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError>;
}

/// What a provider says that fetches nothing.
fn unavailable(kind: ProviderKind, reference: &ModelReference) -> ProviderError {
    let hint = "this provider fetches and removes nothing".to_owned();
    ProviderError::Unavailable { reference: reference.clone(), provider: kind.as_str(), hint }
}

//! What goes over the wire about models besides the types of `orchestrator-core`: queries and bodies of
//! `/api/v1/models/*`, and what they say about which model is meant.

use std::path::PathBuf;

use orchestrator_core::event::Timestamp;
use orchestrator_core::memory::FitRequest;
use orchestrator_core::model::ModelReference;
use orchestrator_core::orchestrator::models::{ModelUser, PruneRequest};
use orchestrator_core::provider::{ImportMode, ProviderKind};
use orchestrator_core::runtime::RuntimeKind;
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The query of `GET /api/v1/models/info` and `GET /api/v1/models/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelInfoQuery {
    /// The model reference.
    #[serde(alias = "ref")]
    pub reference: String,
}

/// The query of `GET /api/v1/models/search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchQuery {
    /// Words. The most used models, for none.
    pub q: String,
    /// The provider to ask, such as `hf` or `ollama`. All of them, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// How many answers of each provider at most.
    pub limit: usize,
}

impl SearchQuery {
    /// The largest number of answers one request may ask each provider for.
    pub const LARGEST_LIMIT: usize = 100;
}

impl Default for SearchQuery {
    fn default() -> Self {
        Self { q: String::new(), provider: None, limit: 20 }
    }
}

/// The query of `GET /api/v1/models/ollama/catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogQuery {
    /// Words. Everything, for none.
    pub q: String,
    /// How many models at most.
    pub limit: usize,
}

impl Default for CatalogQuery {
    fn default() -> Self {
        Self { q: String::new(), limit: SearchQuery::LARGEST_LIMIT }
    }
}

/// A provider as it is named in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderName {
    /// Files and folders of the daemon's machine.
    #[serde(alias = "file")]
    Local,
    /// The Hugging Face hub.
    #[serde(alias = "hugging_face", alias = "huggingface")]
    Hf,
    /// The Ollama library.
    Ollama,
}

impl ProviderName {
    /// Returns what stands in front of a reference to a model of this provider.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Local => "file",
            Self::Hf => "hf",
            Self::Ollama => "ollama",
        }
    }
}

impl From<ProviderName> for ProviderKind {
    fn from(name: ProviderName) -> Self {
        match name {
            ProviderName::Local => Self::Local,
            ProviderName::Hf => Self::HuggingFace,
            ProviderName::Ollama => Self::Ollama,
        }
    }
}

/// A row of `GET /api/v1/models/providers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderRow {
    /// Which one.
    pub kind: ProviderKind,
    /// What stands in front of a reference to one of its models.
    pub scheme: String,
    /// Whether this daemon can use it.
    pub available: bool,
    /// What it is, in a line.
    pub description: String,
}

/// The body of `POST /api/v1/models/install`: a provider and the model's name there, or a whole reference.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InstallBody {
    /// The provider, with `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// The model's name at that provider, such as `google/gemma-2b-it`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The whole reference, such as `hf:owner/repo:Q4_K_M`, in place of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The runtime it is meant for. One that cannot run it refuses it before anything is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Whether its size was agreed to.
    #[serde(alias = "confirmed")]
    pub confirm: bool,
}

impl InstallBody {
    /// Returns the model that is meant.
    ///
    /// # Errors
    /// Fails when it is named twice, not at all, or by something that is no reference.
    pub fn reference(&self) -> Result<ModelReference, Problem> {
        let text = match (&self.reference, &self.model, self.provider) {
            (Some(reference), None, None) => reference.clone(),
            (None, Some(model), Some(provider)) => format!("{}:{model}", provider.scheme()),
            (None, Some(model), None) => model.clone(),
            _ => {
                let problem = Problem::new(ErrorCode::RequestInvalid, "the body does not say which model is meant");
                return Err(problem.with_hint("give `provider` and `model`, or a whole `reference` alone"));
            }
        };
        Ok(text.parse::<ModelReference>()?)
    }

    /// Returns the runtime that is meant.
    ///
    /// # Errors
    /// Fails when there is no such runtime in this version.
    pub fn runtime(&self) -> Result<Option<RuntimeKind>, Problem> {
        let Some(name) = &self.runtime else { return Ok(None) };
        let known = serde_json::from_value(serde_json::Value::String(name.clone()));
        known.map(Some).map_err(|_| {
            let name: String = name.chars().take(60).flat_map(char::escape_debug).collect();
            let problem = Problem::new(ErrorCode::EngineNotFound, format!("there is no runtime `{name}` here"));
            problem.with_hint(format!("leave `runtime` out, or name this one: `{}`", RuntimeKind::default().as_str()))
        })
    }
}

/// The body of `POST /api/v1/models/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveModelBody {
    /// The model.
    pub reference: ModelReference,
    /// Whether it is removed although an instance names it.
    #[serde(default)]
    pub force: bool,
}

/// The body of `POST /api/v1/models/import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportBody {
    /// A file, the first of several, or a folder of the daemon's machine, by its absolute path.
    pub path: PathBuf,
    /// What happens to it.
    #[serde(default)]
    pub mode: ImportMode,
}

/// The body of `POST /api/v1/models/prune`: as [`PruneRequest`], and nothing else, so that a mistyped wish to only look
/// removes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PruneBody {
    /// Whether is only said what would go.
    pub dry_run: bool,
    /// Stop when the models that were fetched take no more than this, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_bytes: Option<u64>,
    /// Models that stay, used or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<ModelReference>,
}

impl From<PruneBody> for PruneRequest {
    fn from(body: PruneBody) -> Self {
        let PruneBody { dry_run, until_bytes, keep } = body;
        Self { dry_run, until_bytes, keep }
    }
}

/// The body of `POST /api/v1/models/fit`: a model, and the settings of [`FitRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FitBody {
    /// The model.
    pub reference: ModelReference,
    /// With which settings it is to fit. What is left out is as an instance would have it.
    #[serde(default)]
    pub settings: FitRequest,
}

/// A row of `GET /api/v1/models/usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelUsage {
    /// The model.
    pub reference: ModelReference,
    /// When it was installed, or first seen.
    pub installed_at: Timestamp,
    /// When an instance last began or ended to use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The instances that use it.
    pub used_by: Vec<ModelUser>,
}

/// The body of `POST /api/v1/models/activate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateRequest {
    /// The instance that becomes the active one of its runtime.
    pub instance: InstanceName,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn meant(body: &str) -> Result<String, ErrorCode> {
        let body: InstallBody = serde_json::from_str(body).unwrap();
        body.reference().map(|reference| reference.to_string()).map_err(|problem| problem.code)
    }

    #[test]
    fn a_model_is_named_in_one_way() {
        assert_eq!(meant(r#"{"provider":"hf","model":"google/gemma-2b-it","runtime":"vllm"}"#).unwrap(), "hf:google/gemma-2b-it");
        assert_eq!(meant(r#"{"provider":"hugging_face","model":"a/b:Q4_0"}"#).unwrap(), "hf:a/b:Q4_0");
        assert_eq!(meant(r#"{"provider":"ollama","model":"qwen3:0.6b"}"#).unwrap(), "ollama:qwen3:0.6b");
        assert_eq!(meant(r#"{"reference":"hf:a/b"}"#).unwrap(), "hf:a/b");
        assert_eq!(meant(r#"{"model":"ollama:qwen3"}"#).unwrap(), "ollama:qwen3");
        for body in ["{}", r#"{"provider":"hf"}"#, r#"{"reference":"hf:a/b","model":"a/b"}"#, r#"{"reference":"hf:a/b","provider":"hf"}"#] {
            assert_eq!(meant(body), Err(ErrorCode::RequestInvalid), "{body}");
        }
        for body in [r#"{"provider":"hf","model":"../x"}"#, r#"{"model":"a/b"}"#, r#"{"reference":"s3:x"}"#] {
            assert_eq!(meant(body), Err(ErrorCode::ModelReferenceInvalid), "{body}");
        }
    }

    #[test]
    fn a_runtime_that_is_not_there_is_named() {
        let body = |runtime: &str| InstallBody { runtime: Some(runtime.to_owned()), ..InstallBody::default() };
        assert_eq!(body("llama_cpp").runtime().unwrap(), Some(RuntimeKind::LlamaCpp));
        let problem = body("vllm").runtime().unwrap_err();
        assert_eq!(problem.code, ErrorCode::EngineNotFound);
        assert!(problem.title.contains("vllm"), "{problem}");
        assert_eq!(InstallBody::default().runtime().unwrap(), None);
    }
}

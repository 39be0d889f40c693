//! Models: references to them, what is known about installed ones, and the file formats that hold them.

pub mod compatibility;
pub mod demo;
pub mod digest;
pub mod gguf;
pub mod header;
pub mod installed;
pub mod plan;
pub mod purpose;
pub mod reference;
pub mod safetensors;

pub use digest::{FileDigest, Sha256Digest};
pub use header::ModelHeader;
pub use installed::HeaderError;
pub use plan::{FileRole, PlannedFile, PullPlan};
pub use purpose::ModelPurpose;
pub use reference::{ModelReference, ModelReferenceError};
pub use safetensors::SafetensorsModel;

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::provider::ProviderKind;

/// The file format of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelFormat {
    /// llama.cpp's single-file format.
    Gguf,
    /// A folder with a `config.json` and safetensors files.
    Safetensors,
}

/// A model that is on this machine and was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstalledModel {
    /// The reference it was asked for by.
    pub reference: ModelReference,
    /// The file, or the first of several.
    pub path: PathBuf,
    /// Its format.
    pub format: ModelFormat,
    /// The name the file gives itself.
    pub name: Option<String>,
    /// The architecture, such as `llama` or `qwen3`.
    pub architecture: String,
    /// The quantisation, such as `Q4_K_M`.
    pub quantisation: Option<String>,
    /// The longest context the model was trained for, in tokens.
    pub context_length: Option<u64>,
    /// How many weights it has.
    pub parameters: u64,
    /// The bytes of all its files.
    pub size_bytes: u64,
    /// Whether it carries a chat template.
    pub has_chat_template: bool,
    /// Every file of it. Empty where nobody listed them: then it is [`Self::path`] alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ModelFile>,
    /// The exact version it was fetched at: a commit, or the digest of a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The licence its source names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The file that lets it see pictures (`mmproj`), where it came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projector: Option<PathBuf>,
    /// What its source says about how it is to be used.
    #[serde(default, skip_serializing_if = "ModelDefaults::is_empty")]
    pub defaults: ModelDefaults,
}

impl InstalledModel {
    /// Returns the context in tokens that the model is meant to be loaded with, for all requests that run at once. Its source
    /// says what one request is meant to have; never more than it was trained for.
    #[must_use]
    pub fn meant_context(&self, parallel: NonZeroU16) -> Option<NonZeroU32> {
        let trained = self.context_length.and_then(|length| u32::try_from(length).ok()).unwrap_or(u32::MAX);
        let each = self.defaults.context_size?.min(trained);
        NonZeroU32::new(each.saturating_mul(u32::from(parallel.get())))
    }

    /// Returns where the model comes from.
    #[must_use]
    pub fn provider(&self) -> ProviderKind {
        ProviderKind::of(&self.reference)
    }
}

/// A file of a model on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFile {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its digest, where it was verified, or where the store names the file by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
}

/// What the source of a model says about how it is to be used. A person's own settings win.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModelDefaults {
    /// The name of a common chat template, such as `chatml` or `llama3`, for a file that carries none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// The template in its source's own language, to be read by people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_template: Option<String>,
    /// What its makers would tell it before anything else. Shown, and not added to anyone's messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Fields of a request, such as `temperature` or `stop`, for requests that do not set them.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub request: serde_json::Map<String, serde_json::Value>,
    /// The context in tokens that one request is meant to have, for instances that name no size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_size: Option<u32>,
}

impl ModelDefaults {
    /// Returns whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

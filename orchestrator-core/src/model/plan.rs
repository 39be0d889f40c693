//! What a provider would fetch for a reference, before anything is fetched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FileDigest, ModelFormat, ModelReference};

/// What a reference names at its source: everything that is known before the first byte of a weight is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullPlan {
    /// The reference it was asked for by.
    pub reference: ModelReference,
    /// The exact version: a commit, or the digest of a manifest. What is fetched is of this version, whatever happens
    /// at the source meanwhile.
    pub revision: String,
    /// The format.
    pub format: ModelFormat,
    /// The quantisation, where it is known.
    pub quantisation: Option<String>,
    /// The architecture, where the source tells.
    pub architecture: Option<String>,
    /// The licence, where the source tells.
    pub licence: Option<String>,
    /// Whether its makers give it only to those they know.
    pub gated: bool,
    /// Whether it can only be run with program code that it brings along.
    pub needs_remote_code: bool,
    /// Every file that belongs to it, the first one of the weights first.
    pub files: Vec<PlannedFile>,
}

impl PullPlan {
    /// Returns the bytes of all files, as far as their lengths are known.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.size_bytes).fold(0, u64::saturating_add)
    }

    /// Returns the bytes that are not on this machine yet.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        let missing = |file: &PlannedFile| file.size_bytes.unwrap_or(0).saturating_sub(file.present_bytes);
        self.files.iter().map(missing).fold(0, u64::saturating_add)
    }
}

/// A file that belongs to a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedFile {
    /// Its name at the source, with `/` between folders. Never leaves its folder.
    pub name: String,
    /// What it is for.
    pub role: FileRole,
    /// Its length in bytes, where the source tells.
    pub size_bytes: Option<u64>,
    /// What its content is, where the source tells.
    pub digest: Option<FileDigest>,
    /// The bytes of it that are on this machine already.
    pub present_bytes: u64,
}

/// What a file of a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileRole {
    /// Weights, or a part of them.
    Weights,
    /// What lets the model see pictures.
    Projector,
    /// Settings, the tokenizer, templates.
    Configuration,
    /// The text of the licence.
    Licence,
}

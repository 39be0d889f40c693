//! Says what a model of a store is, from its manifest and the header of its weights.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use orchestrator_core::error::Coded;
use orchestrator_core::model::gguf::{GgufError, GgufHeader};
use orchestrator_core::model::{InstalledModel, ModelFile, ModelFormat, ModelReference, Sha256Digest};
use orchestrator_core::provider::ProviderError;
use serde::Deserialize;

use super::super::defaults::{self, UsageTexts};
use super::super::digest_of;
use super::super::manifest::{Manifest, Part, PartKind};
use super::super::name::LibraryName;
use super::{Store, read_at_most};

/// The longest licence of which the name is taken, in bytes.
const LONGEST_NAME: usize = 80;

/// What the configuration of a model says of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct ModelConfig {
    /// `gguf` or `safetensors`.
    pub(in super::super) model_format: String,
    /// The architecture, such as `qwen3`.
    pub(in super::super) model_family: String,
    /// The quantisation, such as `Q4_K_M`.
    pub(in super::super) file_type: String,
    /// The machine that runs it, for a model that is not run here.
    pub(in super::super) remote_host: String,
}

impl ModelConfig {
    /// Reads a configuration; one that cannot be read says nothing.
    pub(in super::super) fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// Returns a text of it that says something and is fit to be shown.
    pub(in super::super) fn said(text: &str) -> Option<String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
        let usable = !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(is_plain) && text != "unknown";
        usable.then(|| text.to_owned())
    }
}

/// Returns the name of a licence: the first line of its text that says something.
pub(in super::super) fn licence_name(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let name: String = line.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    (!name.is_empty()).then_some(name)
}

impl Store {
    /// Says what a model is; `None` when it is not in the store. Reads the header of its weights.
    pub(in super::super) fn describe(
        &self,
        reference: &ModelReference,
        name: &LibraryName,
    ) -> Result<Option<InstalledModel>, ProviderError> {
        let path = name.manifest_path(self.root());
        let unreadable = |source| ProviderError::Unreadable { reference: reference.clone(), source };
        let Some(bytes) = self.manifest_bytes(name).map_err(unreadable)? else { return Ok(None) };
        let manifest = Manifest::read(&bytes).map_err(|error| ProviderError::Refused {
            reference: reference.clone(),
            hint: Some(error.hint()),
            reason: error.to_string(),
        })?;
        let Some(weights) = manifest.part(PartKind::Weights) else { return Ok(None) };
        let blob = self.blob(&weights.digest);
        let header = GgufHeader::read(&blob).map_err(|error| refuse(reference, &path, &blob, error))?;
        if header.file_bytes != weights.size_bytes {
            let reason = format!("it has {} bytes, and its manifest says {}", header.file_bytes, weights.size_bytes);
            return Err(ProviderError::Invalid { path: blob, reason, hint: Some(mend(reference)) });
        }
        let Some(architecture) = header.architecture() else {
            let reason = "its header names no architecture".to_owned();
            return Err(ProviderError::Invalid { path: blob, reason, hint: None });
        };
        let text = |kind| self.text(manifest.part(kind)?);
        let usage =
            UsageTexts { template: text(PartKind::Template), system: text(PartKind::System), parameters: text(PartKind::Parameters) };
        let config = text(PartKind::Configuration).map(|text| ModelConfig::read(text.as_bytes())).unwrap_or_default();
        let projector = manifest.part(PartKind::Projector).map(|part| self.blob(&part.digest));
        if let Some(projector) = projector.as_ref() {
            fs::File::open(projector).map_err(unreadable)?;
        }
        Ok(Some(InstalledModel {
            reference: reference.clone(),
            path: blob,
            format: ModelFormat::Gguf,
            name: header.name().map(str::to_owned),
            architecture: architecture.to_owned(),
            quantisation: header.quantisation().map(str::to_owned).or_else(|| ModelConfig::said(&config.file_type)),
            context_length: header.context_length(),
            parameters: header.parameter_count(),
            size_bytes: manifest.total_bytes(),
            has_chat_template: header.has_chat_template(),
            files: manifest.parts.iter().map(|part| self.file(part)).collect(),
            revision: Some(digest_of(&bytes).to_string()),
            licence: text(PartKind::Licence).as_deref().and_then(licence_name),
            projector,
            defaults: defaults::read(usage),
        }))
    }

    fn file(&self, part: &Part) -> ModelFile {
        // Ollama shows a file before it has looked at it, so only ours are known to be right.
        let sha256: Option<Sha256Digest> = self.is_ours.then(|| part.digest.clone());
        ModelFile { path: self.blob(&part.digest), size_bytes: part.size_bytes, sha256 }
    }

    /// Reads a small part as text.
    fn text(&self, part: &Part) -> Option<String> {
        let read = read_at_most(&self.blob(&part.digest), part.size_bytes);
        match read {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) => {
                tracing::debug!(part = part.kind.as_str(), digest = %part.digest, %error, "a part of a model cannot be read");
                None
            }
        }
    }
}

fn mend(reference: &ModelReference) -> String {
    format!("remove it and pull it again: `orch model rm {reference}`, `orch model pull {reference}`")
}

fn refuse(reference: &ModelReference, manifest: &Path, blob: &Path, error: GgufError) -> ProviderError {
    let invalid = |path: PathBuf, reason, hint| ProviderError::Invalid { path, reason, hint };
    match error {
        GgufError::Missing => {
            let reason = format!("its weights `{}` are gone", blob.display());
            invalid(manifest.to_path_buf(), reason, Some(mend(reference)))
        }
        GgufError::Unreadable { source } if source.kind() == io::ErrorKind::NotFound => {
            invalid(manifest.to_path_buf(), format!("its weights `{}` are gone", blob.display()), Some(mend(reference)))
        }
        GgufError::Unreadable { source } => ProviderError::Unreadable { reference: reference.clone(), source },
        other => invalid(blob.to_path_buf(), other.to_string(), other.hint()),
    }
}

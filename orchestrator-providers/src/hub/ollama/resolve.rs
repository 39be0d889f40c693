//! What a reference names at the registry: the plan of a pull, and the header of its weights.

use std::io::BufReader;

use orchestrator_core::error::Coded;
use orchestrator_core::model::gguf::{GgufError, GgufExtent, GgufHeader, GgufReadOptions};
use orchestrator_core::model::{FileDigest, FileRole, InstalledModel, ModelFormat, ModelHeader, ModelReference, PlannedFile, PullPlan};
use orchestrator_core::provider::ProviderError;

use super::OllamaModels;
use super::manifest::{ManifestError, Part, PartKind};
use super::name::LibraryName;
use super::registry::{FoundManifest, Visit};
use super::store::{ModelConfig, Store, licence_name};
use crate::download::FetchTarget;

/// The longest licence that is read for its name, in bytes.
const LONGEST_LICENCE: u64 = 512 * 1024;
/// How much is read of a file at its source at a time.
const READ_AHEAD: usize = 64 * 1024;

impl OllamaModels {
    /// Asks the registry what a reference names. What is on this machine already is known without it.
    pub(super) async fn plan(&self, reference: &ModelReference, name: &LibraryName) -> Result<PullPlan, ProviderError> {
        let remote = self.remote()?;
        let mut visit = remote.registry.visit(reference, name);
        match visit.manifest().await {
            Ok(found) => {
                let plan = self.plan_of(reference, &mut visit, &found).await?;
                self.remember(&found);
                Ok(plan)
            }
            // Nobody to ask, or a model that was made on this machine: what is here is what it names.
            Err(error @ (ProviderError::Source { .. } | ProviderError::NotFound { .. })) => match self.find(reference, name).await {
                Ok(model) => Ok(plan_of_installed(&model)),
                Err(_) => Err(self.with_nearest(error, name).await),
            },
            Err(error) => Err(error),
        }
    }

    async fn plan_of(&self, reference: &ModelReference, visit: &mut Visit<'_>, found: &FoundManifest) -> Result<PullPlan, ProviderError> {
        let manifest = &found.manifest;
        let config = match manifest.part(PartKind::Configuration) {
            Some(part) => ModelConfig::read(&visit.small(part).await?),
            None => ModelConfig::default(),
        };
        if !matches!(config.model_format.as_str(), "" | "gguf") {
            let error = ManifestError::Format { what: "in the format of another engine" };
            return Err(ProviderError::Refused { reference: reference.clone(), reason: error.to_string(), hint: Some(error.hint()) });
        }
        let licence = match manifest.part(PartKind::Licence).filter(|part| part.size_bytes <= LONGEST_LICENCE) {
            Some(part) => licence_name(&String::from_utf8_lossy(&visit.small(part).await?)),
            None => None,
        };
        Ok(PullPlan {
            reference: reference.clone(),
            revision: found.digest.to_string(),
            format: ModelFormat::Gguf,
            quantisation: ModelConfig::said(&config.file_type),
            architecture: ModelConfig::said(&config.model_family),
            licence,
            gated: false,
            needs_remote_code: false,
            files: manifest.parts.iter().map(|part| self.planned(part)).collect(),
        })
    }

    fn planned(&self, part: &Part) -> PlannedFile {
        let is_here = self.stores().iter().any(|store| store.has(part));
        let begun = || self.remote.as_ref().map_or(0, |remote| remote.downloader.present_bytes(&target(&self.own, part)));
        PlannedFile {
            name: file_name(part),
            role: part.kind.role(),
            size_bytes: Some(part.size_bytes),
            digest: Some(FileDigest::Sha256(part.digest.clone())),
            present_bytes: if is_here { part.size_bytes } else { begun().min(part.size_bytes) },
        }
    }

    /// Adds the names that may be meant, as far as a catalogue was kept.
    async fn with_nearest(&self, error: ProviderError, name: &LibraryName) -> ProviderError {
        let ProviderError::NotFound { reference, .. } = error else { return error };
        let kept = match &self.remote {
            Ok(remote) => remote.catalogue.kept().await,
            Err(_) => None,
        };
        let nearest = kept.map(|catalogue| catalogue.nearest(&name.short_model())).unwrap_or_default();
        ProviderError::NotFound { reference, nearest }
    }

    /// Reads the header of the weights, from this machine where they are here.
    pub(super) async fn read_header(&self, plan: &PullPlan, name: &LibraryName) -> Result<ModelHeader, ProviderError> {
        let file = plan.files.iter().find(|file| file.role == FileRole::Weights);
        let (Some(file), Some(FileDigest::Sha256(digest))) = (file, file.and_then(|file| file.digest.as_ref())) else {
            return Err(ProviderError::NotFound { reference: plan.reference.clone(), nearest: Vec::new() });
        };
        let size_bytes = file.size_bytes.unwrap_or(0);
        let part = Part { kind: PartKind::Weights, digest: digest.clone(), size_bytes };
        let here = self.stores().into_iter().find(|store| store.has(&part)).map(|store| store.blob(&part.digest));
        let source = match here {
            Some(path) => return in_background(move || GgufHeader::read(&path)).await.map_err(|error| damaged(plan, &error)),
            None => self.remote()?,
        };
        let mut visit = source.registry.visit(&plan.reference, name);
        // The token of an earlier visit is not kept.
        visit.renew().await?;
        let reader = source.downloader.open_remote(&visit.file(&part)?, tokio::runtime::Handle::current());
        let read = in_background(move || {
            GgufHeader::read_from(BufReader::with_capacity(READ_AHEAD, reader), GgufExtent::whole(size_bytes), &GgufReadOptions::default())
        });
        read.await.map_err(|error| match error {
            GgufError::Unreadable { source: failed } => {
                ProviderError::Source { source_name: source.registry.address(), reason: failed.to_string(), hint: None, retry_after: None }
            }
            other => damaged(plan, &other),
        })
    }
}

async fn in_background(read: impl FnOnce() -> Result<GgufHeader, GgufError> + Send + 'static) -> Result<ModelHeader, GgufError> {
    let read = tokio::task::spawn_blocking(read).await;
    let header = read.unwrap_or_else(|error| Err(GgufError::Unreadable { source: std::io::Error::other(error) }))?;
    Ok(ModelHeader::Gguf(Box::new(header)))
}

fn damaged(plan: &PullPlan, error: &GgufError) -> ProviderError {
    let reason = format!("its weights are no usable GGUF file: {error}");
    ProviderError::Refused { reference: plan.reference.clone(), reason, hint: error.hint() }
}

/// Returns where a part of our own store is fetched to.
pub(super) fn target(store: &Store, part: &Part) -> FetchTarget {
    FetchTarget { path: store.blob(&part.digest), lock: store.lock_of(&part.digest) }
}

/// Returns the name of a part, as people see it.
pub(super) fn file_name(part: &Part) -> String {
    format!("{}-{}", part.kind.as_str(), &part.digest.as_str()[..12])
}

/// Returns the plan of a model that needs nothing to be fetched.
fn plan_of_installed(model: &InstalledModel) -> PullPlan {
    let file = |file: &orchestrator_core::model::ModelFile| {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digest = name.strip_prefix("sha256-").and_then(|digits| orchestrator_core::model::Sha256Digest::try_new(digits).ok());
        PlannedFile {
            role: if file.path == model.path {
                FileRole::Weights
            } else if Some(&file.path) == model.projector.as_ref() {
                FileRole::Projector
            } else {
                FileRole::Configuration
            },
            name,
            size_bytes: Some(file.size_bytes),
            digest: digest.map(FileDigest::Sha256),
            present_bytes: file.size_bytes,
        }
    };
    PullPlan {
        reference: model.reference.clone(),
        revision: model.revision.clone().unwrap_or_default(),
        format: model.format,
        quantisation: model.quantisation.clone(),
        architecture: Some(model.architecture.clone()),
        licence: model.licence.clone(),
        gated: false,
        needs_remote_code: false,
        files: model.files.iter().map(file).collect(),
    }
}

//! What can be done with models: they are searched, fetched, registered, removed and cleared away.
//!
//! Owns: the order of things and what is remembered. Does not own: where models come from (the providers), what room there is
//! (`disk`, pure), which ones go first (`prune`, pure).
//!
//! ```text
//! reference ─► resolve ─► fits the runtime? ─► is there room, is it wanted? ─► operation: its turn ─► pull ─► remembered
//!                                                                                └── room watched meanwhile ──┘
//! ```

mod disk;
mod import;
mod manifest;
mod prune;
mod pull;
mod remove;
mod usage;

use std::collections::BTreeMap;

use super::Orchestrator;
use crate::error::Problem;
use crate::model::{InstalledModel, ModelReference, PullPlan};
use crate::operation::OperationKind;
use crate::provider::{ModelQuery, ProviderKind, SearchResults};
use crate::store::ModelRecord;

pub use import::ImportRequest;
pub(crate) use manifest::ManifestWriter;
pub use manifest::{Manifest, ManifestModel};
pub use prune::{PruneReport, PruneRequest, PrunedModel};
pub(crate) use pull::PullDesk;
pub use pull::PullRequest;
pub use remove::RemoveRequest;
pub use usage::ModelUser;

impl Orchestrator {
    /// Returns which providers there are.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderKind> {
        self.inner.services.providers.keys().copied().collect()
    }

    /// Searches one provider, or all that have a catalogue: then the answers of those that could be asked are returned, and an
    /// error only where none could.
    pub async fn search_models(&self, provider: Option<ProviderKind>, query: &ModelQuery) -> Result<SearchResults, Problem> {
        if let Some(kind) = provider {
            return Ok(self.inner.services.provider(kind)?.search(query).await?);
        }
        let searches = self.inner.services.providers.values().map(|provider| provider.search(query));
        let mut results = SearchResults::default();
        let mut failure = None;
        let mut answered = false;
        for (kind, outcome) in self.inner.services.providers.keys().zip(futures_util::future::join_all(searches).await) {
            match outcome {
                Ok(found) => {
                    // A provider without a catalogue always answers, with nothing.
                    answered |= *kind != ProviderKind::Local;
                    results.models.extend(found.models);
                    results.stale_since = results.stale_since.or(found.stale_since);
                }
                Err(error) => {
                    tracing::info!(%error, provider = kind.as_str(), "a provider could not be searched");
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) if !answered => Err(error.into()),
            _ => Ok(results),
        }
    }

    /// Asks the source of a model what would be fetched.
    pub async fn plan_pull(&self, reference: &ModelReference) -> Result<PullPlan, Problem> {
        Ok(self.inner.services.provider_of(reference)?.resolve(reference).await?)
    }

    /// Lists the models that are on this machine: those of the providers, and those that instances name.
    pub async fn models(&self) -> Result<Vec<InstalledModel>, Problem> {
        Ok(self.model_records().await?.into_iter().map(|record| record.model).collect())
    }

    /// Lists the models that are on this machine, with when they were installed and last used. One that was put there by
    /// somebody else counts as installed when we first saw it.
    pub async fn model_records(&self) -> Result<Vec<ModelRecord>, Problem> {
        self.inner.fleet.reload(&self.inner.services);
        let services = &self.inner.services;
        let mut records: BTreeMap<String, ModelRecord> = BTreeMap::new();
        for record in services.store.models().await? {
            if record.model.path.exists() {
                records.insert(record.model.reference.to_string(), record);
            }
        }
        let mut found = Vec::new();
        for provider in services.providers.values() {
            found.extend(provider.installed().await?);
        }
        for reference in self.inner.fleet.configured_models() {
            if !records.contains_key(&reference.to_string()) && found.iter().all(|model| model.reference != reference) {
                // A model that cannot be read is the instance's problem, shown there.
                found.extend(services.resolve_model(&reference).await);
            }
        }
        for model in found {
            let is_known = records.values().any(|record| record.model.reference == model.reference || record.model.path == model.path);
            if !is_known {
                let record = ModelRecord { installed_at: usage::modified_at(&model.path), last_used_at: None, model };
                records.insert(record.model.reference.to_string(), record);
            }
        }
        Ok(records.into_values().collect())
    }

    /// Looks at one model on this machine. What only its source could tell, such as the licence, is remembered.
    pub async fn model_info(&self, reference: &ModelReference) -> Result<InstalledModel, Problem> {
        let mut model = self.inner.services.resolve_model(reference).await?;
        if model.licence.is_none() {
            let records = self.inner.services.store.models().await?;
            let record = records.into_iter().find(|record| record.model.reference == *reference);
            model.licence = record.and_then(|record| record.model.licence);
        }
        Ok(model)
    }

    /// Goes on with what an earlier owner of the home had begun.
    pub(super) async fn recover_operations(&self) -> Result<(), Problem> {
        for operation in self.inner.operations.recover().await? {
            match operation.kind.clone() {
                OperationKind::Pull { reference } => self.resume_pull(&operation, reference),
                OperationKind::RemoveModel { reference } => self.resume_removal(&operation, reference),
                OperationKind::ImportModel { reference: ModelReference::File { path }, mode } => {
                    self.resume_import(&operation, path, mode);
                }
                // What they were about is not there: it is begun anew by whoever wants it.
                OperationKind::ImportModel { .. } | OperationKind::Activate { .. } | OperationKind::CreateEnvironment { .. } => {
                    self.inner.operations.abandon(operation).await?;
                }
            }
        }
        self.inner.services.manifest.refresh();
        Ok(())
    }
}

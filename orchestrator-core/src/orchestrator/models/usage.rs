//! Who uses a model, since when it is here, and what models take of the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Orchestrator, Services};
use crate::error::Problem;
use crate::event::Timestamp;
use crate::model::{InstalledModel, ModelReference};
use crate::names::InstanceName;
use crate::provider::ProviderKind;
use crate::store::ModelRecord;

/// An instance that uses a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelUser {
    /// The instance.
    pub instance: InstanceName,
    /// Whether its server has the model loaded.
    pub is_running: bool,
}

impl Orchestrator {
    /// Returns the instances that use a model: those that name it, and those that name one of its files.
    #[must_use]
    pub fn model_users(&self, model: &InstalledModel) -> Vec<ModelUser> {
        let is_meant = |reference: &ModelReference| {
            *reference == model.reference
                || reference.as_file().is_some_and(|path| path == model.path || model.files.iter().any(|file| file.path == path))
        };
        let mut users: BTreeMap<InstanceName, bool> = BTreeMap::new();
        for spec in self.inner.fleet.configured_specs() {
            if is_meant(&spec.model.reference) {
                users.insert(spec.name.clone(), false);
            }
        }
        for (name, handle) in self.inner.fleet.handles() {
            let snapshot = handle.snapshot.borrow();
            if is_meant(&snapshot.spec.model.reference) && snapshot.state.server().is_some() {
                users.insert(name, true);
            }
        }
        users.into_iter().map(|(instance, is_running)| ModelUser { instance, is_running }).collect()
    }
}

impl Services {
    /// Remembers a model that is here now, in the database and in the manifest.
    pub(crate) async fn remember_model(&self, model: InstalledModel) -> Result<(), Problem> {
        let known = self.store.models().await?.into_iter().find(|record| record.model.reference == model.reference);
        let (installed_at, last_used_at) = known.map_or((Timestamp::now(), None), |record| (record.installed_at, record.last_used_at));
        self.store.put_model(ModelRecord { model, installed_at, last_used_at }).await?;
        self.manifest.written().await;
        Ok(())
    }

    /// Notes that an instance begins or ends to use a model, in the background.
    pub(crate) fn note_use(self: &Arc<Self>, reference: &ModelReference) {
        let (services, reference) = (self.clone(), reference.clone());
        self.tasks.spawn(async move {
            let Ok(records) = services.store.models().await else { return };
            let Some(mut record) = records.into_iter().find(|record| record.model.reference == reference) else { return };
            record.last_used_at = Some(Timestamp::now());
            match services.store.put_model(record).await {
                Ok(()) => services.manifest.refresh(),
                Err(error) => tracing::debug!(%error, model = %reference, "its use could not be noted"),
            }
        });
    }
}

/// Returns what the models that we fetched take, in bytes. A file that two of them share counts once.
pub(super) fn fetched_bytes(records: &[ModelRecord]) -> u64 {
    let fetched = records.iter().filter(|record| record.model.provider() != ProviderKind::Local);
    let mut files: BTreeMap<&Path, u64> = BTreeMap::new();
    for model in fetched.map(|record| &record.model) {
        if model.files.is_empty() {
            files.insert(&model.path, model.size_bytes);
        }
        files.extend(model.files.iter().map(|file| (file.path.as_path(), file.size_bytes)));
    }
    files.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

/// Returns when a file was last written, or now.
pub(super) fn modified_at(path: &Path) -> Timestamp {
    let modified = std::fs::metadata(path).and_then(|found| found.modified());
    modified.ok().and_then(Timestamp::of_system_time).unwrap_or_else(Timestamp::now)
}

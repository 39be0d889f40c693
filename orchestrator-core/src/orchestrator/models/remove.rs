//! Removing a model from this machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Orchestrator;
use super::usage::ModelUser;
use crate::error::{ErrorCode, Problem};
use crate::model::{InstalledModel, ModelReference};
use crate::operation::registry::OperationProgress;
use crate::operation::{Operation, OperationKind};
use crate::store::ModelRecord;

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoveRequest {
    /// The model.
    pub reference: ModelReference,
    /// Whether it is removed although instances use it.
    #[serde(default)]
    pub force: bool,
}

impl Orchestrator {
    /// Begins to remove a model. A file that lies elsewhere on this machine is only forgotten.
    ///
    /// # Errors
    /// Fails at once when it is not here, and with `model.in_use` when an instance uses it and nobody said that it is to go all the
    /// same.
    pub async fn remove_model(&self, request: RemoveRequest) -> Result<Operation, Problem> {
        self.inner.fleet.reload(&self.inner.services);
        let record = self.find_record(&request.reference).await?;
        let users = self.model_users(&record.model);
        if !users.is_empty() && !request.force {
            return Err(in_use(&record.model, &users));
        }
        for user in users.iter().filter(|user| user.is_running) {
            let words = format!("`{}`, which this instance serves, is removed: it goes on until it is stopped", request.reference);
            self.warn(Some(&user.instance), words);
        }
        let kind = OperationKind::RemoveModel { reference: request.reference };
        let orchestrator = self.clone();
        let work = move |_: OperationProgress, _| async move { orchestrator.discard(&record.model).await.map(drop) };
        self.inner.operations.begin(kind, work).await
    }

    /// Ends a removal that an earlier owner had begun.
    pub(super) fn resume_removal(&self, operation: &Operation, reference: ModelReference) {
        let orchestrator = self.clone();
        let work = move |_: OperationProgress, _| async move {
            match orchestrator.find_record(&reference).await {
                Ok(record) => orchestrator.discard(&record.model).await.map(drop),
                Err(problem) if problem.code == ErrorCode::ModelNotFound => Ok(()),
                Err(problem) => Err(problem),
            }
        };
        self.inner.operations.resume(operation, work);
    }

    /// Removes a model and forgets it; returns the bytes that became free.
    pub(super) async fn discard(&self, model: &InstalledModel) -> Result<u64, Problem> {
        let services = &self.inner.services;
        let freed = services.provider_of(&model.reference)?.remove(model).await?;
        services.store.delete_model(&model.reference).await?;
        services.manifest.written().await;
        Ok(freed)
    }

    /// Finds a model that is on this machine, or was when it was remembered.
    async fn find_record(&self, reference: &ModelReference) -> Result<ModelRecord, Problem> {
        let remembered = self.inner.services.store.models().await?.into_iter().find(|record| record.model.reference == *reference);
        if let Some(record) = remembered {
            return Ok(record);
        }
        let model = self.inner.services.resolve_model(reference).await?;
        Ok(ModelRecord { installed_at: super::usage::modified_at(&model.path), last_used_at: None, model })
    }
}

fn in_use(model: &InstalledModel, users: &[ModelUser]) -> Problem {
    let names: Vec<_> = users
        .iter()
        .map(|user| if user.is_running { format!("`{}` (running)", user.instance) } else { format!("`{}`", user.instance) })
        .collect();
    let problem = Problem::new(ErrorCode::ModelInUse, format!("`{}` is used by {}", model.reference, names.join(", ")));
    problem.with_hint("remove these instances with `orch rm`, or say `--force`: they cannot be started without the model")
}

//! Registering a model that lies on this machine.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::super::Orchestrator;
use crate::error::Problem;
use crate::model::ModelReference;
use crate::operation::registry::OperationProgress;
use crate::operation::{Operation, OperationKind};
use crate::provider::{ImportMode, ModelImport, ProviderKind, PullWatch};

/// What is to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportRequest {
    /// The absolute path of its file, of the first of several, or of its folder.
    pub path: PathBuf,
    /// What happens to it.
    #[serde(default)]
    pub mode: ImportMode,
}

impl Orchestrator {
    /// Begins to register a model.
    ///
    /// # Errors
    /// Fails at once when there is no model at that path.
    pub async fn import_model(&self, request: ImportRequest) -> Result<Operation, Problem> {
        let reference = ModelReference::try_file(&request.path)?;
        self.inner.services.provider(ProviderKind::Local)?.locate(&reference).await?;
        let kind = OperationKind::ImportModel { reference, mode: request.mode };
        self.inner.operations.begin(kind, self.importing(request)).await
    }

    /// Begins a registration anew that an earlier owner had begun.
    pub(super) fn resume_import(&self, operation: &Operation, path: PathBuf, mode: ImportMode) {
        self.inner.operations.resume(operation, self.importing(ImportRequest { path, mode }));
    }

    fn importing(
        &self,
        request: ImportRequest,
    ) -> impl FnOnce(OperationProgress, CancellationToken) -> BoxFuture<'static, Result<(), Problem>> + Send + use<> {
        let services = self.inner.services.clone();
        move |progress, cancel| {
            Box::pin(async move {
                let import = ModelImport { path: request.path, mode: request.mode };
                let provider = services.provider(ProviderKind::Local)?;
                let model = provider.import(&import, PullWatch { progress: &progress, cancel: &cancel }).await?;
                services.remember_model(model).await
            })
        }
    }
}

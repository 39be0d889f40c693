//! Models: here and at their sources, fetching, removing and registering them.

use std::path::PathBuf;

use orchestrator_core::memory::{FitReport, FitRequest};
use orchestrator_core::model::{InstalledModel, ModelReference, PullPlan};
use orchestrator_core::operation::Operation;
use orchestrator_core::orchestrator::models::{ImportRequest, PruneReport, PullRequest, RemoveRequest};
use orchestrator_core::provider::{ImportMode, ModelQuery, ProviderKind, SearchResults};
use orchestrator_core::{InstanceName, Problem};
use orchestrator_server::api::{ProviderName, PruneBody};

use super::{Backend, told};

impl Backend {
    /// Lists the models that are on the machine.
    pub(crate) async fn models(&self) -> Result<Vec<InstalledModel>, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.models().await,
            Self::Connected(client) => told(client.models().await),
        }
    }

    /// Looks at one model that is on the machine.
    pub(crate) async fn model_info(&self, reference: &ModelReference) -> Result<InstalledModel, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.model_info(reference).await,
            Self::Connected(client) => told(client.model_info(reference).await),
        }
    }

    /// Searches one provider, or all of them.
    pub(crate) async fn search(&self, text: String, provider: Option<ProviderName>, limit: usize) -> Result<SearchResults, Problem> {
        match self {
            Self::Embedded(orchestrator) => {
                let query = ModelQuery { text, limit, stale: true };
                orchestrator.search_models(provider.map(ProviderKind::from), &query).await
            }
            Self::Connected(client) => told(client.search_models(&text, provider, limit).await),
        }
    }

    /// Asks what would be fetched for a model.
    pub(crate) async fn plan(&self, reference: &ModelReference) -> Result<PullPlan, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.plan_pull(reference).await,
            Self::Connected(client) => told(client.plan_pull(reference).await),
        }
    }

    /// Begins to fetch a model, or joins whoever fetches it already.
    pub(crate) async fn pull(&self, reference: &ModelReference, confirmed: bool) -> Result<Operation, Problem> {
        match self {
            Self::Embedded(orchestrator) => {
                orchestrator.pull_model(PullRequest { reference: reference.clone(), runtime: None, confirmed }).await
            }
            Self::Connected(client) => told(client.pull_model(reference, confirmed, None).await),
        }
    }

    /// Begins to remove a model.
    pub(crate) async fn remove_model(&self, reference: &ModelReference, force: bool) -> Result<Operation, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.remove_model(RemoveRequest { reference: reference.clone(), force }).await,
            Self::Connected(client) => told(client.remove_model(reference, force).await),
        }
    }

    /// Begins to register a file or folder.
    pub(crate) async fn import_model(&self, path: PathBuf, mode: ImportMode) -> Result<Operation, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.import_model(ImportRequest { path, mode }).await,
            Self::Connected(client) => told(client.import_model(&path, mode).await),
        }
    }

    /// Removes models that no instance uses.
    pub(crate) async fn prune(&self, body: PruneBody) -> Result<PruneReport, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.prune_models(&body.into()).await,
            Self::Connected(client) => told(client.prune_models(&body).await),
        }
    }

    /// Says whether a model fits the machine.
    pub(crate) async fn fit(&self, reference: &ModelReference, settings: FitRequest) -> Result<FitReport, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.fit(reference, settings).await,
            Self::Connected(client) => told(client.fit(reference, settings).await),
        }
    }

    /// Begins to make an instance the active one of its runtime.
    pub(crate) async fn activate(&self, name: &InstanceName) -> Result<Operation, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.activate(name).await,
            Self::Connected(client) => told(client.activate(name).await),
        }
    }
}

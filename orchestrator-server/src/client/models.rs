//! One method for each endpoint about models.

use std::path::Path;
use std::time::Duration;

use orchestrator_core::InstanceName;
use orchestrator_core::memory::{FitReport, FitRequest};
use orchestrator_core::model::{InstalledModel, ModelReference, PullPlan};
use orchestrator_core::operation::Operation;
use orchestrator_core::orchestrator::models::PruneReport;
use orchestrator_core::provider::{ImportMode, SearchResults};
use orchestrator_core::runtime::RuntimeKind;

use super::control::escape;
use super::{Call, Client, ClientError, STOPPING, encode};
use crate::api::{ActivateRequest, FitBody, ImportBody, InstallBody, ModelUsage, ProviderName, ProviderRow, PruneBody, RemoveModelBody};

/// How long a call may take for which the daemon asks a source of models.
const ASKING_A_SOURCE: Duration = Duration::from_mins(3);

impl Client {
    /// Lists the models that are on the machine.
    pub async fn models(&self) -> Result<Vec<InstalledModel>, ClientError> {
        self.json(Call::get("/api/v1/models")).await
    }

    /// Looks at one model that is on the machine.
    pub async fn model_info(&self, reference: &ModelReference) -> Result<InstalledModel, ClientError> {
        self.json(Call::get(&format!("/api/v1/models/info?reference={}", escape(&reference.to_string())))).await
    }

    /// Tells since when each model is here, and who uses it.
    pub async fn model_usage(&self) -> Result<Vec<ModelUsage>, ClientError> {
        self.json(Call::get("/api/v1/models/usage")).await
    }

    /// Tells which providers there are, and which of them can be used.
    pub async fn providers(&self) -> Result<Vec<ProviderRow>, ClientError> {
        self.json(Call::get("/api/v1/models/providers")).await
    }

    /// Searches one provider, or all of them; at most `limit` answers of each.
    pub async fn search_models(&self, text: &str, provider: Option<ProviderName>, limit: usize) -> Result<SearchResults, ClientError> {
        let provider = provider.map(|name| format!("&provider={}", word(name))).unwrap_or_default();
        let path = format!("/api/v1/models/search?q={}&limit={limit}{provider}", escape(text));
        self.json(Call::get(&path).within(ASKING_A_SOURCE)).await
    }

    /// Asks what would be fetched for a model. Fetches nothing.
    pub async fn plan_pull(&self, reference: &ModelReference) -> Result<PullPlan, ClientError> {
        let path = format!("/api/v1/models/plan?reference={}", escape(&reference.to_string()));
        self.json(Call::get(&path).within(ASKING_A_SOURCE)).await
    }

    /// Begins to fetch a model, or joins whoever fetches it already. `confirmed` says that its size was agreed to.
    pub async fn pull_model(
        &self,
        reference: &ModelReference,
        confirmed: bool,
        runtime: Option<RuntimeKind>,
    ) -> Result<Operation, ClientError> {
        let body = InstallBody {
            reference: Some(reference.to_string()),
            runtime: runtime.map(|runtime| runtime.as_str().to_owned()),
            confirm: confirmed,
            ..InstallBody::default()
        };
        self.json(Call::post("/api/v1/models/install").body(encode(&body)?).within(ASKING_A_SOURCE)).await
    }

    /// Begins to remove a model; with `force` also one that an instance names.
    pub async fn remove_model(&self, reference: &ModelReference, force: bool) -> Result<Operation, ClientError> {
        let body = RemoveModelBody { reference: reference.clone(), force };
        self.json(Call::post("/api/v1/models/remove").body(encode(&body)?)).await
    }

    /// Begins to register a file or folder of the daemon's machine.
    pub async fn import_model(&self, path: &Path, mode: ImportMode) -> Result<Operation, ClientError> {
        let body = ImportBody { path: path.to_path_buf(), mode };
        self.json(Call::post("/api/v1/models/import").body(encode(&body)?)).await
    }

    /// Removes models that no instance uses, the longest unused first.
    pub async fn prune_models(&self, request: &PruneBody) -> Result<PruneReport, ClientError> {
        self.json(Call::post("/api/v1/models/prune").body(encode(request)?).within(STOPPING)).await
    }

    /// Asks whether a model fits the daemon's machine. Of one that is elsewhere no more than the header is fetched.
    pub async fn fit(&self, reference: &ModelReference, settings: FitRequest) -> Result<FitReport, ClientError> {
        let body = FitBody { reference: reference.clone(), settings };
        self.json(Call::post("/api/v1/models/fit").body(encode(&body)?).within(ASKING_A_SOURCE)).await
    }

    /// Begins to make an instance the active one of its runtime.
    pub async fn activate(&self, instance: &InstanceName) -> Result<Operation, ClientError> {
        let request = ActivateRequest { instance: instance.clone() };
        self.json(Call::post("/api/v1/models/activate").body(encode(&request)?)).await
    }
}

const fn word(name: ProviderName) -> &'static str {
    match name {
        ProviderName::Local => "local",
        ProviderName::Hf => "hf",
        ProviderName::Ollama => "ollama",
    }
}

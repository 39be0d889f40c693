//! Models: those on this machine and those at their sources; fetching, removing, registering, judging and switching them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orchestrator_core::memory::FitReport;
use orchestrator_core::model::{InstalledModel, ModelReference, PullPlan};
use orchestrator_core::operation::Operation;
use orchestrator_core::orchestrator::models::{ImportRequest, PruneReport, PullRequest, RemoveRequest};
use orchestrator_core::provider::{ModelQuery, ProviderKind, SearchResults};
use orchestrator_core::store::ModelRecord;

use super::extract::JsonBody;
use super::{Answer, Control, QueryOf};
use crate::api::{
    ActivateRequest, CatalogQuery, FitBody, ImportBody, InstallBody, ModelInfoQuery, ModelUsage, ProviderName, ProviderRow, PruneBody,
    RemoveModelBody, SearchQuery,
};
use crate::error::Refused;

pub(super) async fn list(State(control): State<Control>) -> Answer<Vec<InstalledModel>> {
    Ok(Json(control.orchestrator.models().await?))
}

pub(super) async fn info(State(control): State<Control>, QueryOf(query): QueryOf<ModelInfoQuery>) -> Answer<InstalledModel> {
    let reference: ModelReference = query.reference.parse()?;
    Ok(Json(control.orchestrator.model_info(&reference).await?))
}

/// Tells since when each model is here, and who uses it.
pub(super) async fn usage(State(control): State<Control>) -> Answer<Vec<ModelUsage>> {
    let records = control.orchestrator.model_records().await?;
    let row = |record: ModelRecord| ModelUsage {
        used_by: control.orchestrator.model_users(&record.model),
        reference: record.model.reference,
        installed_at: record.installed_at,
        last_used_at: record.last_used_at,
    };
    Ok(Json(records.into_iter().map(row).collect()))
}

/// Tells which providers there are.
pub(super) async fn providers(State(control): State<Control>) -> Json<Vec<ProviderRow>> {
    let known = control.orchestrator.providers();
    let rows = [
        (ProviderName::Local, "files and folders of this machine"),
        (ProviderName::Hf, "the Hugging Face hub"),
        (ProviderName::Ollama, "the Ollama library"),
    ];
    let row = |(name, description): (ProviderName, &str)| {
        let kind = ProviderKind::from(name);
        ProviderRow { kind, scheme: name.scheme().to_owned(), available: known.contains(&kind), description: description.to_owned() }
    };
    Json(rows.map(row).to_vec())
}

pub(super) async fn search(State(control): State<Control>, QueryOf(query): QueryOf<SearchQuery>) -> Answer<SearchResults> {
    let provider = query.provider.map(ProviderKind::from);
    let query = ModelQuery { text: query.q, limit: query.limit.clamp(1, SearchQuery::LARGEST_LIMIT), stale: true };
    Ok(Json(control.orchestrator.search_models(provider, &query).await?))
}

/// Lists what Ollama's library has, from what was kept where it cannot be reached.
pub(super) async fn ollama_catalog(State(control): State<Control>, QueryOf(query): QueryOf<CatalogQuery>) -> Answer<SearchResults> {
    let query = ModelQuery { text: query.q, limit: query.limit.max(1), stale: true };
    Ok(Json(control.orchestrator.search_models(Some(ProviderKind::Ollama), &query).await?))
}

pub(super) async fn plan(State(control): State<Control>, QueryOf(query): QueryOf<ModelInfoQuery>) -> Answer<PullPlan> {
    let reference: ModelReference = query.reference.parse()?;
    Ok(Json(control.orchestrator.plan_pull(&reference).await?))
}

pub(super) async fn install(State(control): State<Control>, JsonBody(body): JsonBody<InstallBody>) -> Result<Response, Refused> {
    let request = PullRequest { reference: body.reference()?, confirmed: body.confirm, runtime: body.runtime()? };
    Ok(accepted(&control.orchestrator.pull_model(request).await?))
}

pub(super) async fn remove(State(control): State<Control>, JsonBody(body): JsonBody<RemoveModelBody>) -> Result<Response, Refused> {
    let request = RemoveRequest { reference: body.reference, force: body.force };
    Ok(accepted(&control.orchestrator.remove_model(request).await?))
}

pub(super) async fn import(State(control): State<Control>, JsonBody(body): JsonBody<ImportBody>) -> Result<Response, Refused> {
    let request = ImportRequest { path: body.path, mode: body.mode };
    Ok(accepted(&control.orchestrator.import_model(request).await?))
}

pub(super) async fn prune(State(control): State<Control>, JsonBody(body): JsonBody<PruneBody>) -> Answer<PruneReport> {
    Ok(Json(control.orchestrator.prune_models(&body.into()).await?))
}

/// Says whether a model fits this machine. Of one that is elsewhere no more than the header is fetched.
pub(super) async fn fit(State(control): State<Control>, JsonBody(body): JsonBody<FitBody>) -> Answer<FitReport> {
    Ok(Json(control.orchestrator.fit(&body.reference, body.settings).await?))
}

/// Begins to switch a runtime to another instance.
pub(super) async fn activate(State(control): State<Control>, JsonBody(request): JsonBody<ActivateRequest>) -> Result<Response, Refused> {
    Ok(accepted(&control.orchestrator.activate(&request.instance).await?))
}

/// Says that a job was begun, and where to ask for it.
fn accepted(operation: &Operation) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(operation)).into_response();
    if let Ok(place) = HeaderValue::try_from(format!("/api/v1/models/operations/{}", operation.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

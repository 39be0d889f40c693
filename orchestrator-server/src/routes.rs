//! The control API: each handler extracts, calls the facade, converts. What may be asked, and by whom, was decided
//! before (`auth`); what is true about instances is decided after (`orchestrator-core`).

mod daemon;
mod environments;
mod events;
mod extract;
mod instances;
mod models;
mod operations;

use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::{get, post};
use orchestrator_core::{ErrorCode, Orchestrator, Problem};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::ShutdownRequest;
use crate::daemon::status::StatusSource;
use crate::error::Refused;
use crate::metrics::MetricsSource;

pub(crate) use extract::{JsonBody, NameIn, QueryOf};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Control {
    /// The facade of the core.
    pub(crate) orchestrator: Orchestrator,
    /// What the daemon knows about itself.
    pub(crate) status: StatusSource,
    /// What is counted.
    pub(crate) metrics: MetricsSource,
    /// Where a wish to end the daemon is put.
    pub(crate) shutdown: watch::Sender<Option<ShutdownRequest>>,
    /// Ends the streams when the daemon goes down.
    pub(crate) ending: CancellationToken,
    /// Ends the streams of what only the owner of the home sees, when that is somebody else.
    pub(crate) streams: CancellationToken,
}

type Answer<T> = Result<axum::Json<T>, Refused>;

/// Makes the routes.
pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/health", get(daemon::health))
        .route("/metrics", get(daemon::metrics))
        .route("/api/v1/status", get(daemon::status))
        .route("/api/v1/shutdown", post(daemon::shutdown))
        .route("/api/v1/hardware", get(daemon::hardware))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/instances", get(instances::list))
        .route("/api/v1/instances/{name}", get(instances::describe).delete(instances::remove))
        .route("/api/v1/instances/{name}/up", post(instances::up))
        .route("/api/v1/instances/{name}/down", post(instances::down))
        .route("/api/v1/instances/{name}/restart", post(instances::restart))
        .route("/api/v1/instances/{name}/logs", get(instances::logs))
        .route("/api/v1/models", get(models::list))
        .route("/api/v1/models/info", get(models::info))
        .route("/api/v1/models/usage", get(models::usage))
        .route("/api/v1/models/providers", get(models::providers))
        .route("/api/v1/models/search", get(models::search))
        .route("/api/v1/models/plan", get(models::plan))
        .route("/api/v1/models/install", post(models::install))
        .route("/api/v1/models/remove", post(models::remove))
        .route("/api/v1/models/import", post(models::import))
        .route("/api/v1/models/prune", post(models::prune))
        .route("/api/v1/models/fit", post(models::fit))
        .route("/api/v1/models/activate", post(models::activate))
        .route("/api/v1/models/operations", get(operations::list_of_models))
        .route("/api/v1/models/operations/{id}", get(operations::one).delete(operations::cancel))
        .route("/api/v1/models/ollama/catalog", get(models::ollama_catalog))
        .route("/api/v1/envs", get(environments::list))
        .route("/api/v1/envs/{key}", axum::routing::delete(environments::remove))
        .route("/api/v1/envs/{key}/create", post(environments::create))
        .route("/api/v1/envs/{key}/test", post(environments::test))
        .route("/api/v1/operations", get(operations::list))
        .route("/api/v1/operations/{id}", get(operations::one).delete(operations::cancel))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(control)
}

async fn unknown_route(uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(200).flat_map(char::escape_debug).collect();
    let problem = Problem::new(ErrorCode::RouteUnknown, format!("there is no route `{path}`"));
    Refused(problem.with_hint("the control API lies below `/api/v1`, the gateway below `/v1`"))
}

async fn wrong_method(method: Method, uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(200).flat_map(char::escape_debug).collect();
    let mut problem = Problem::new(ErrorCode::RouteUnknown, format!("`{path}` does not take {method}"));
    problem.status = axum::http::StatusCode::METHOD_NOT_ALLOWED.as_u16();
    Refused(problem)
}

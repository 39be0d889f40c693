//! The daemon itself: health, status, hardware, its end.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use orchestrator_core::hardware::Hardware;

use super::{Control, JsonBody, QueryOf};
use crate::api::{DaemonStatus, HardwareQuery, HealthAnswer, ShutdownRequest};
use crate::daemon::VERSION;
use crate::metrics;

pub(super) async fn health(State(control): State<Control>) -> Json<HealthAnswer> {
    let status = if control.ending.is_cancelled() { "stopping" } else { "ok" };
    Json(HealthAnswer { status: status.to_owned(), version: VERSION.to_owned() })
}

pub(super) async fn status(State(control): State<Control>) -> Json<DaemonStatus> {
    Json(control.status.status(control.orchestrator.instances().await, control.orchestrator.predecessors()))
}

pub(super) async fn metrics(State(control): State<Control>) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], control.metrics.text().await)
}

pub(super) async fn hardware(State(control): State<Control>, QueryOf(query): QueryOf<HardwareQuery>) -> Json<Hardware> {
    Json(if query.engine { control.orchestrator.hardware_and_engines().await } else { control.orchestrator.hardware().await })
}

pub(super) async fn shutdown(
    State(control): State<Control>,
    JsonBody(request): JsonBody<ShutdownRequest>,
) -> (StatusCode, Json<ShutdownRequest>) {
    control.shutdown.send_replace(Some(request));
    (StatusCode::ACCEPTED, Json(request))
}

//! Environments: list, create (an operation), test, remove.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use orchestrator_core::EnvKey;
use orchestrator_core::env::{EnvironmentReport, EnvironmentStatus};
use orchestrator_core::operation::Operation;

use super::{Answer, Control, NameIn};
use crate::error::Refused;

pub(super) async fn list(State(control): State<Control>) -> Answer<Vec<EnvironmentStatus>> {
    Ok(Json(control.orchestrator.environments().await?))
}

pub(super) async fn create(State(control): State<Control>, NameIn(key): NameIn<EnvKey>) -> Result<(StatusCode, Json<Operation>), Refused> {
    let operation = control.orchestrator.create_environment(&key).await?;
    Ok((StatusCode::ACCEPTED, Json(operation)))
}

pub(super) async fn test(State(control): State<Control>, NameIn(key): NameIn<EnvKey>) -> Answer<EnvironmentReport> {
    Ok(Json(control.orchestrator.test_environment(&key).await?))
}

pub(super) async fn remove(State(control): State<Control>, NameIn(key): NameIn<EnvKey>) -> Result<StatusCode, Refused> {
    control.orchestrator.remove_environment(&key).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Models that are on this machine.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use orchestrator_core::model::{InstalledModel, ModelReference};
use orchestrator_core::operation::Operation;

use super::extract::JsonBody;
use super::{Answer, Control, QueryOf};
use crate::api::{ActivateRequest, ModelInfoQuery};
use crate::error::Refused;

pub(super) async fn list(State(control): State<Control>) -> Answer<Vec<InstalledModel>> {
    Ok(Json(control.orchestrator.models().await?))
}

/// Begins to switch a runtime to another instance.
pub(super) async fn activate(
    State(control): State<Control>,
    JsonBody(request): JsonBody<ActivateRequest>,
) -> Result<(StatusCode, Json<Operation>), Refused> {
    let operation = control.orchestrator.activate(&request.instance).await?;
    Ok((StatusCode::ACCEPTED, Json(operation)))
}

pub(super) async fn info(State(control): State<Control>, QueryOf(query): QueryOf<ModelInfoQuery>) -> Answer<InstalledModel> {
    let reference: ModelReference = query.reference.parse()?;
    Ok(Json(control.orchestrator.model_info(&reference).await?))
}

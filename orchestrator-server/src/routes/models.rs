//! Models that are on this machine.

use axum::Json;
use axum::extract::State;
use orchestrator_core::model::{InstalledModel, ModelReference};

use super::{Answer, Control, QueryOf};
use crate::api::ModelInfoQuery;

pub(super) async fn list(State(control): State<Control>) -> Answer<Vec<InstalledModel>> {
    Ok(Json(control.orchestrator.models().await?))
}

pub(super) async fn info(State(control): State<Control>, QueryOf(query): QueryOf<ModelInfoQuery>) -> Answer<InstalledModel> {
    let reference: ModelReference = query.reference.parse()?;
    Ok(Json(control.orchestrator.model_info(&reference).await?))
}

//! Instances: list, describe, up, down, restart, remove, logs.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use orchestrator_core::instance::InstanceSummary;
use orchestrator_core::orchestrator::RemoveMode;
use orchestrator_core::{ErrorCode, InstanceName, Problem};

use super::{Answer, Control, NameIn, QueryOf};
use crate::api::{InstanceDescription, InstanceList, LogLines, LogQuery, RemoveQuery, WaitQuery};
use crate::error::Refused;

pub(super) async fn list(State(control): State<Control>) -> Json<InstanceList> {
    Json(control.orchestrator.instances().await)
}

pub(super) async fn describe(State(control): State<Control>, NameIn(name): NameIn<InstanceName>) -> Answer<InstanceDescription> {
    Ok(Json(control.orchestrator.describe(&name).await?))
}

pub(super) async fn remove(
    State(control): State<Control>,
    NameIn(name): NameIn<InstanceName>,
    QueryOf(query): QueryOf<RemoveQuery>,
) -> Result<StatusCode, Refused> {
    let mode = if query.force { RemoveMode::StopFirst } else { RemoveMode::IfStopped };
    control.orchestrator.remove(&name, mode).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn up(
    State(control): State<Control>,
    NameIn(name): NameIn<InstanceName>,
    QueryOf(query): QueryOf<WaitQuery>,
) -> Answer<InstanceSummary> {
    control.orchestrator.up(&name).await?;
    begun(&control, &name, query).await
}

/// Answers when nothing of the server is left, asked to wait or not: there is nothing else worth telling.
pub(super) async fn down(
    State(control): State<Control>,
    NameIn(name): NameIn<InstanceName>,
    QueryOf(_): QueryOf<WaitQuery>,
) -> Answer<InstanceSummary> {
    Ok(Json(control.orchestrator.down(&name).await?))
}

pub(super) async fn restart(
    State(control): State<Control>,
    NameIn(name): NameIn<InstanceName>,
    QueryOf(query): QueryOf<WaitQuery>,
) -> Answer<InstanceSummary> {
    control.orchestrator.restart(&name).await?;
    begun(&control, &name, query).await
}

async fn begun(control: &Control, name: &InstanceName, query: WaitQuery) -> Answer<InstanceSummary> {
    Ok(Json(if query.wait { control.orchestrator.wait_ready(name).await? } else { control.orchestrator.describe(name).await?.summary }))
}

pub(super) async fn logs(
    State(control): State<Control>,
    NameIn(name): NameIn<InstanceName>,
    QueryOf(query): QueryOf<LogQuery>,
) -> Result<Response, Refused> {
    if query.tail > LogQuery::LARGEST_TAIL {
        let problem = Problem::new(ErrorCode::RequestInvalid, format!("`tail` is larger than {}", LogQuery::LARGEST_TAIL));
        return Err(Refused(problem));
    }
    if !query.follow {
        let lines = control.orchestrator.read_log(&name, query.stream, query.tail).await?;
        return Ok(Json(LogLines { lines }).into_response());
    }
    let lines = control.orchestrator.follow_log(&name, query.stream, query.tail)?;
    let events = lines
        .filter_map(|line| std::future::ready(Event::default().json_data(line).ok().map(Ok::<_, Infallible>)))
        .take_until(control.ending.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

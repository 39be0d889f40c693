//! Operations: list, one (once, or with its changes until its end), cancel. Those of models have routes of their own
//! that lead here.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use orchestrator_core::operation::{Operation, OperationId, OperationKind};
use orchestrator_core::{ErrorCode, Problem};
use tokio::sync::watch;

use super::{Answer, Control, NameIn, QueryOf};
use crate::api::FollowQuery;
use crate::error::Refused;

/// How far apart the changes of an operation are sent. Only the newest counts, and the last one never waits.
const PACE: Duration = Duration::from_millis(100);

pub(super) async fn list(State(control): State<Control>) -> Answer<Vec<Operation>> {
    Ok(Json(control.orchestrator.operations().await?))
}

/// Lists the operations on models.
pub(super) async fn list_of_models(State(control): State<Control>) -> Answer<Vec<Operation>> {
    let mut operations = control.orchestrator.operations().await?;
    operations.retain(|operation| is_of_models(&operation.kind));
    Ok(Json(operations))
}

fn is_of_models(kind: &OperationKind) -> bool {
    !matches!(kind, OperationKind::CreateEnvironment { .. })
}

pub(super) async fn one(
    State(control): State<Control>,
    NameIn(id): NameIn<OperationId>,
    QueryOf(query): QueryOf<FollowQuery>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let follows = query.follow || wants_stream(&headers);
    let watched = control.orchestrator.watch_operation(id);
    if let (Some(changes), true) = (&watched, follows) {
        let changes = until_final(changes.clone());
        return Ok(events(changes.take_until(control.ending.clone().cancelled_owned())));
    }
    let operation = match watched {
        Some(operation) => operation.borrow().clone(),
        None => remembered(&control, id).await?,
    };
    Ok(if follows { events(stream::iter([operation])) } else { Json(operation).into_response() })
}

/// Returns whether a client asks for events by the header that says what it takes.
pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"))
}

async fn remembered(control: &Control, id: OperationId) -> Result<Operation, Refused> {
    let operations = control.orchestrator.operations().await?;
    operations
        .into_iter()
        .find(|operation| operation.id == id)
        .ok_or_else(|| Refused(Problem::new(ErrorCode::RouteUnknown, format!("there is no operation `{id}`"))))
}

/// Passes on how it stands, then its changes at a pace, up to the one that is the last; ends there although the sender
/// stays.
fn until_final(changes: watch::Receiver<Operation>) -> impl Stream<Item = Operation> + Send {
    stream::unfold((Some(changes), true), |(changes, is_first)| async move {
        let mut changes = changes?;
        if !is_first {
            changes.changed().await.ok()?;
            // What comes meanwhile is left out; the end is not waited for.
            let _ = tokio::time::timeout(PACE, changes.wait_for(|operation| operation.status.is_final())).await;
        }
        let operation = changes.borrow_and_update().clone();
        let rest = (!operation.status.is_final()).then_some(changes);
        Some((operation, (rest, false)))
    })
}

fn events(operations: impl Stream<Item = Operation> + Send + 'static) -> Response {
    let events = operations.filter_map(|operation| std::future::ready(Event::default().json_data(operation).ok().map(Ok::<_, Infallible>)));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

pub(super) async fn cancel(State(control): State<Control>, NameIn(id): NameIn<OperationId>) -> Result<StatusCode, Refused> {
    control.orchestrator.cancel_operation(id)?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::event::Timestamp;
    use orchestrator_core::operation::{OperationStatus, ProgressUpdate};

    use super::*;

    fn operation(status: OperationStatus) -> Operation {
        let kind = OperationKind::CreateEnvironment { key: "llama-cpp-cpu".parse().unwrap() };
        Operation { id: OperationId::generate(), kind, created_at: Timestamp::now(), status }
    }

    fn running(done: u64) -> OperationStatus {
        OperationStatus::Running { progress: ProgressUpdate { done: Some(done), ..ProgressUpdate::default() } }
    }

    #[tokio::test]
    async fn an_operation_that_is_over_is_told_once_even_when_the_sender_stays() {
        let done = operation(OperationStatus::Succeeded { at: Timestamp::now() });
        let (_sender, changes) = watch::channel(done.clone());
        assert_eq!(until_final(changes).collect::<Vec<_>>().await, [done]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_changes_become_few_and_the_last_one_is_always_told() {
        let (sender, changes) = watch::channel(operation(running(0)));
        let followed = tokio::spawn(until_final(changes).collect::<Vec<_>>());
        for done in 1..=1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.send_modify(|operation| operation.status = running(done));
        }
        let end = OperationStatus::Succeeded { at: Timestamp::now() };
        sender.send_modify(|operation| operation.status = end.clone());
        let told = followed.await.unwrap();
        assert!((5..=15).contains(&told.len()), "{} changes were told", told.len());
        assert_eq!(told.last().unwrap().status, end);
    }
}

//! Operations: list, one (once, or with each change until its end), cancel.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use orchestrator_core::operation::{Operation, OperationId};
use orchestrator_core::{ErrorCode, Problem};
use tokio_stream::wrappers::WatchStream;

use super::{Answer, Control, NameIn, QueryOf};
use crate::api::FollowQuery;
use crate::error::Refused;

pub(super) async fn list(State(control): State<Control>) -> Answer<Vec<Operation>> {
    Ok(Json(control.orchestrator.operations().await?))
}

pub(super) async fn one(
    State(control): State<Control>,
    NameIn(id): NameIn<OperationId>,
    QueryOf(query): QueryOf<FollowQuery>,
) -> Result<Response, Refused> {
    let watched = control.orchestrator.watch_operation(id);
    if let (Some(changes), true) = (&watched, query.follow) {
        let changes = until_final(WatchStream::new(changes.clone()));
        return Ok(events(changes.take_until(control.ending.clone().cancelled_owned())));
    }
    let operation = match watched {
        Some(operation) => operation.borrow().clone(),
        None => remembered(&control, id).await?,
    };
    Ok(if query.follow { events(stream::iter([operation])) } else { Json(operation).into_response() })
}

async fn remembered(control: &Control, id: OperationId) -> Result<Operation, Refused> {
    let operations = control.orchestrator.operations().await?;
    operations
        .into_iter()
        .find(|operation| operation.id == id)
        .ok_or_else(|| Refused(Problem::new(ErrorCode::RouteUnknown, format!("there is no operation `{id}`"))))
}

/// Passes changes on up to the one that is the last, and ends there although the sender stays.
fn until_final(changes: impl Stream<Item = Operation> + Send + Unpin) -> impl Stream<Item = Operation> + Send {
    stream::unfold(Some(changes), |changes| async move {
        let mut changes = changes?;
        let operation = changes.next().await?;
        let rest = (!operation.status.is_final()).then_some(changes);
        Some((operation, rest))
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
    use orchestrator_core::operation::{OperationKind, OperationStatus, ProgressUpdate};

    use super::*;

    #[tokio::test]
    async fn changes_end_with_the_final_one_even_when_the_sender_stays() {
        let operation = |status| Operation {
            id: OperationId::generate(),
            kind: OperationKind::CreateEnvironment { key: "llama-cpp-cpu".parse().unwrap() },
            created_at: Timestamp::now(),
            status,
        };
        let running = operation(OperationStatus::Running { progress: ProgressUpdate::default() });
        let done = operation(OperationStatus::Succeeded { at: Timestamp::now() });
        let changes = stream::iter([running.clone(), done.clone()]).chain(stream::pending());
        assert_eq!(until_final(changes).collect::<Vec<_>>().await, [running, done]);
    }
}

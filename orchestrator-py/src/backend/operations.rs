//! Operations: their changes as they come, also where the daemon is replaced meanwhile, their end, and cancelling them.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use orchestrator_core::error::Coded;
use orchestrator_core::operation::{Operation, OperationId, OperationStatus};
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_server::client::ItemStream;
use orchestrator_server::{Client, ClientError};
use tokio::sync::watch;

use super::{Backend, told};
use crate::closable::Items;

/// How often a daemon that went away is looked for. A new one goes on with what can be gone on with.
const TRIES: u32 = 8;
/// How long after a loss the first look comes; each later one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

impl Backend {
    /// Lists the operations, newest first.
    pub(crate) async fn operations(&self) -> Result<Vec<Operation>, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.operations().await,
            Self::Connected(client) => told(client.operations().await),
        }
    }

    /// Finds an operation.
    pub(crate) async fn operation(&self, id: OperationId) -> Result<Operation, Problem> {
        match self {
            Self::Embedded(orchestrator) => {
                if let Some(watched) = orchestrator.watch_operation(id) {
                    return Ok(watched.borrow().clone());
                }
                let found = orchestrator.operations().await?.into_iter().find(|operation| operation.id == id);
                found.ok_or_else(|| Problem::new(ErrorCode::RouteUnknown, format!("there is no operation `{id}`")))
            }
            Self::Connected(client) => told(client.operation(id).await),
        }
    }

    /// Returns the changes of an operation up to the last one, which is final.
    pub(crate) fn follow_operation(&self, operation: Operation) -> Items<Operation> {
        if operation.status.is_final() {
            return Box::pin(stream::iter([Ok(operation)]));
        }
        match self {
            Self::Embedded(orchestrator) => match orchestrator.watch_operation(operation.id) {
                Some(changes) => Box::pin(embedded(changes)),
                None => Box::pin(stream::iter([Ok(operation)])),
            },
            Self::Connected(client) => Box::pin(connected(client.clone(), operation.id)),
        }
    }

    /// Cancels an operation.
    pub(crate) async fn cancel(&self, id: OperationId) -> Result<(), Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.cancel_operation(id),
            Self::Connected(client) => told(client.cancel_operation(id).await),
        }
    }
}

/// Fails as an operation did.
pub(crate) fn outcome(last: Operation) -> Result<Operation, Problem> {
    match last.status {
        OperationStatus::Failed { problem, .. } => Err(problem),
        OperationStatus::Cancelled { .. } => Err(Problem::new(ErrorCode::Cancelled, format!("{} was cancelled", last.kind))),
        OperationStatus::Running { .. } => Err(ended_early()),
        OperationStatus::Succeeded { .. } => Ok(last),
    }
}

fn ended_early() -> Problem {
    let problem = Problem::new(ErrorCode::DaemonStopping, "the owner of the home ended before the work was done");
    problem.with_hint("ask again: a pull goes on where it ended")
}

fn embedded(changes: watch::Receiver<Operation>) -> impl futures_util::Stream<Item = Result<Operation, Problem>> + Send {
    stream::unfold((Some(changes), true), |(changes, is_first)| async move {
        let mut changes = changes?;
        if !is_first && changes.changed().await.is_err() {
            return Some((Err(ended_early()), (None, false)));
        }
        let operation = changes.borrow_and_update().clone();
        let rest = (!operation.status.is_final()).then_some(changes);
        Some((Ok(operation), (rest, false)))
    })
}

/// The changes as a daemon tells them, and where they are heard.
struct Heard {
    client: Client,
    id: OperationId,
    changes: Option<ItemStream<Operation>>,
    losses: u32,
}

fn connected(client: Client, id: OperationId) -> impl futures_util::Stream<Item = Result<Operation, Problem>> + Send {
    let heard = Some(Heard { client, id, changes: None, losses: 0 });
    stream::unfold(heard, |heard| async {
        let mut heard = heard?;
        match heard.next().await {
            Ok(operation) => {
                let rest = (!operation.status.is_final()).then_some(heard);
                Some((Ok(operation), rest))
            }
            Err(problem) => Some((Err(problem), None)),
        }
    })
}

impl Heard {
    async fn next(&mut self) -> Result<Operation, Problem> {
        loop {
            let error = match self.try_next().await {
                Ok(Some(operation)) => {
                    self.losses = 0;
                    return Ok(operation);
                }
                Ok(None) => None,
                Err(error) if matches!(error.code(), ErrorCode::DaemonUnreachable | ErrorCode::DaemonStopping) => Some(error),
                Err(error) => return Err(error.into_problem()),
            };
            self.changes = None;
            self.losses += 1;
            if self.losses > TRIES {
                return Err(error.map_or_else(ended_early, ClientError::into_problem));
            }
            tokio::time::sleep(FIRST_PAUSE * (1 << (self.losses - 1))).await;
        }
    }

    async fn try_next(&mut self) -> Result<Option<Operation>, ClientError> {
        let changes = match &mut self.changes {
            Some(changes) => changes,
            None => self.changes.insert(self.client.follow_operation(self.id).await?),
        };
        changes.next().await.transpose()
    }
}

//! The operations of this session: each one's task, progress and cancellation; the store remembers them beyond it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Operation, OperationId, OperationKind, OperationStatus, Progress, ProgressUpdate};
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind, Timestamp};
use crate::event_log::EventLog;
use crate::store::StateStore;

/// How many operations are listed.
const LISTED: usize = 100;
/// How many ended operations can still be watched.
const WATCHABLE: usize = 64;

/// Begins, watches and cancels operations.
pub(crate) struct OperationRegistry {
    store: Arc<dyn StateStore>,
    events: EventLog,
    tasks: TaskTracker,
    known: Arc<Mutex<HashMap<OperationId, Known>>>,
    /// Cancelled when the owner of the home goes: what can be gone on with is left as it stands.
    suspended: CancellationToken,
}

struct Known {
    operation: watch::Receiver<Operation>,
    cancel: CancellationToken,
}

/// Takes the progress of one operation.
pub(crate) struct OperationProgress {
    publisher: watch::Sender<Operation>,
}

impl Progress for OperationProgress {
    fn update(&self, update: ProgressUpdate) {
        self.publisher.send_if_modified(|operation| {
            let status = OperationStatus::Running { progress: update };
            let is_new = operation.status != status;
            operation.status = status;
            is_new
        });
    }
}

impl OperationRegistry {
    pub(crate) fn new(store: Arc<dyn StateStore>, events: EventLog, tasks: TaskTracker) -> Self {
        Self { store, events, tasks, known: Arc::default(), suspended: CancellationToken::new() }
    }

    /// Returns the operations that an earlier owner left under way. Each is to be resumed or abandoned.
    pub(crate) async fn recover(&self) -> Result<Vec<Operation>, Problem> {
        let operations = self.store.operations(LISTED).await?;
        Ok(operations.into_iter().filter(|operation| !operation.status.is_final()).collect())
    }

    /// Ends an operation of an earlier owner: what it was to make is not there.
    pub(crate) async fn abandon(&self, mut operation: Operation) -> Result<(), Problem> {
        operation.status = OperationStatus::Cancelled { at: Timestamp::now() };
        Ok(self.store.put_operation(operation).await?)
    }

    /// Goes on with an operation of an earlier owner, under the same identity.
    pub(crate) fn resume<W, F>(&self, operation: &Operation, work: W)
    where
        W: FnOnce(OperationProgress, CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let cancel = CancellationToken::new();
        let publisher = watch::Sender::new(operation.clone());
        self.known().insert(operation.id, Known { operation: publisher.subscribe(), cancel: cancel.clone() });
        self.announce(operation, "gone on with");
        self.perform(publisher, work, cancel);
    }

    /// Returns the operation of this kind that is under way.
    pub(crate) fn under_way(&self, kind: &OperationKind) -> Option<Operation> {
        let known = self.known();
        let mut operations = known.values().map(|known| known.operation.borrow());
        operations.find(|other| other.kind == *kind && !other.status.is_final()).map(|other| other.clone())
    }

    /// Begins an operation, or joins one of the same kind that is under way.
    pub(crate) async fn begin<W, F>(&self, kind: OperationKind, work: W) -> Result<Operation, Problem>
    where
        W: FnOnce(OperationProgress, CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let operation = Operation {
            id: OperationId::generate(),
            kind,
            created_at: Timestamp::now(),
            status: OperationStatus::Running { progress: ProgressUpdate { phase: "begun".to_owned(), ..ProgressUpdate::default() } },
        };
        let cancel = CancellationToken::new();
        let publisher = watch::Sender::new(operation.clone());
        {
            let mut known = self.known();
            let same = known
                .values()
                .map(|known| known.operation.borrow().clone())
                .find(|other| other.kind == operation.kind && !other.status.is_final());
            if let Some(same) = same {
                return Ok(same);
            }
            forget_oldest(&mut known);
            known.insert(operation.id, Known { operation: publisher.subscribe(), cancel: cancel.clone() });
        }
        if let Err(error) = self.store.put_operation(operation.clone()).await {
            // Nobody is to join what was never begun.
            self.known().remove(&operation.id);
            return Err(error.into());
        }
        self.announce(&operation, "begun");
        self.perform(publisher, work, cancel);
        Ok(operation)
    }

    /// Does the work in a task, and writes down what came of it.
    fn perform<W, F>(&self, publisher: watch::Sender<Operation>, work: W, cancel: CancellationToken)
    where
        W: FnOnce(OperationProgress, CancellationToken) -> F + Send + 'static,
        F: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let (store, events, suspended) = (self.store.clone(), self.events.clone(), self.suspended.clone());
        self.tasks.spawn(async move {
            let result = work(OperationProgress { publisher: publisher.clone() }, cancel).await;
            let mut ended = publisher.borrow().clone();
            let status = status_of(result);
            let is_left = matches!(status, OperationStatus::Cancelled { .. }) && suspended.is_cancelled() && ended.kind.is_resumable();
            if is_left {
                tracing::info!(id = %ended.id, "{} is left to the next owner of this home", ended.kind);
                return;
            }
            ended.status = status;
            if let Err(error) = store.put_operation(ended.clone()).await {
                tracing::warn!(%error, id = %ended.id, "the end of the operation could not be stored");
            }
            let words = outcome(&ended.status);
            events.record(draft(&ended, &words));
            publisher.send_replace(ended);
        });
    }

    pub(crate) async fn list(&self) -> Result<Vec<Operation>, Problem> {
        let mut operations = self.store.operations(LISTED).await?;
        let known = self.known();
        for operation in &mut operations {
            // The store has no progress; the session has.
            if let Some(known) = known.get(&operation.id) {
                *operation = known.operation.borrow().clone();
            }
        }
        Ok(operations)
    }

    pub(crate) fn watch(&self, id: OperationId) -> Option<watch::Receiver<Operation>> {
        self.known().get(&id).map(|known| known.operation.clone())
    }

    /// Asks an operation to end; returns whether there was one to ask.
    pub(crate) fn cancel(&self, id: OperationId) -> bool {
        let known = self.known();
        let running = known.get(&id).filter(|known| !known.operation.borrow().status.is_final());
        running.inspect(|known| known.cancel.cancel()).is_some()
    }

    /// Returns whether the owner of the home goes.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.is_cancelled()
    }

    /// Waits until no switch is under way, for at most so long.
    pub(crate) async fn left(&self, limit: Duration) {
        let is_switch = |known: &&Known| matches!(known.operation.borrow().kind, OperationKind::Activate { .. });
        let switches: Vec<_> = self.known().values().filter(is_switch).map(|known| known.operation.clone()).collect();
        let all_left = async {
            for mut switch in switches {
                // An error means that its task is gone.
                let _ = switch.wait_for(|operation| operation.status.is_final()).await;
            }
        };
        if tokio::time::timeout(limit, all_left).await.is_err() {
            tracing::warn!("a switch between models did not end in time");
        }
    }

    /// Ends everything because the owner of the home goes. What can be gone on with stays under way in the store.
    pub(crate) fn suspend(&self) {
        self.suspended.cancel();
        self.known().values().for_each(|known| known.cancel.cancel());
    }

    fn announce(&self, operation: &Operation, words: &str) {
        self.events.record(draft(operation, words));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<OperationId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_oldest(known: &mut HashMap<OperationId, Known>) {
    while known.len() >= WATCHABLE {
        let ended = known.iter().filter(|(_, known)| known.operation.borrow().status.is_final()).map(|(id, _)| *id).min();
        let Some(oldest) = ended else { return };
        known.remove(&oldest);
    }
}

fn status_of(result: Result<(), Problem>) -> OperationStatus {
    let at = Timestamp::now();
    match result {
        Ok(()) => OperationStatus::Succeeded { at },
        Err(problem) if problem.code == ErrorCode::Cancelled => OperationStatus::Cancelled { at },
        Err(problem) => OperationStatus::Failed { at, problem },
    }
}

fn outcome(status: &OperationStatus) -> String {
    match status {
        OperationStatus::Running { .. } => "under way".to_owned(),
        OperationStatus::Succeeded { .. } => "done".to_owned(),
        OperationStatus::Cancelled { .. } => "cancelled".to_owned(),
        OperationStatus::Failed { problem, .. } => format!("failed: {problem}"),
    }
}

fn draft(operation: &Operation, words: &str) -> EventDraft {
    let data = serde_json::json!({ "operation": operation.id, "outcome": words });
    EventDraft::new(EventKind::Operation, format!("{}: {words}", operation.kind)).with_data(data)
}

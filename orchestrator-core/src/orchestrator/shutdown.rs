//! The end of an owner, in bounded steps.

use std::sync::PoisonError;
use std::time::Duration;

use super::{Orchestrator, OwnerLock};
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind};

/// How long tasks may take to put down what they hold, after everything they wait for is cancelled.
const LAST_STEPS: Duration = Duration::from_secs(15);

/// What happens to the servers when their owner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// They go on serving; the next owner takes them over.
    LeaveRunning,
    /// They are ended first.
    StopAll,
}

impl Orchestrator {
    /// Ends in order: servers (where asked), operations, instances' tasks, events, the lock. Returns what went wrong.
    pub async fn shutdown(&self, mode: ShutdownMode) -> Vec<Problem> {
        self.close(mode).await.0
    }

    /// Does as [`Self::shutdown`], but for the lock, which it returns: what the caller has in the home is still its own.
    pub async fn close(&self, mode: ShutdownMode) -> (Vec<Problem>, Option<OwnerLock>) {
        let mut problems = Vec::new();
        // 1. End the servers, all at once.
        if mode == ShutdownMode::StopAll {
            self.abandon_switches().await;
            problems.extend(self.stop_all().await);
        }
        // 2. and 3.
        problems.extend(self.end_tasks("the owner of this home ended in order").await);
        (problems, self.take_lock())
    }

    /// Ends operations, instances' tasks, the event log and the store. Servers go on.
    pub(super) async fn end_tasks(&self, last_words: &str) -> Vec<Problem> {
        let services = &self.inner.services;
        let mut problems = Vec::new();
        // 1. Cancel what is under way; operations clean up after themselves.
        self.inner.operations.suspend();
        services.shutdown.cancel();
        // 2. Let every task finish its last step.
        services.tasks.close();
        if tokio::time::timeout(LAST_STEPS, services.tasks.wait()).await.is_err() {
            problems.push(Problem::new(ErrorCode::Internal, "some tasks did not end in time"));
        }
        // 3. Write down what happened, and nothing after that.
        services.events.record(EventDraft::new(EventKind::Daemon, last_words));
        self.inner.event_log_end.cancel();
        self.inner.event_log_task.close();
        if tokio::time::timeout(LAST_STEPS, self.inner.event_log_task.wait()).await.is_err() {
            problems.push(Problem::new(ErrorCode::StoreFailed, "the last events could not be written down in time"));
        }
        services.store.close().await;
        problems
    }

    /// Takes the lock out, once.
    pub(super) fn take_lock(&self) -> Option<OwnerLock> {
        self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn stop_all(&self) -> Vec<Problem> {
        let mut stops = tokio::task::JoinSet::new();
        for (name, _) in self.inner.fleet.handles() {
            let orchestrator = self.clone();
            stops.spawn(async move { orchestrator.down(&name).await });
        }
        let results = stops.join_all().await;
        results.into_iter().filter_map(Result::err).filter(|problem| problem.code != ErrorCode::InstanceNotRunning).collect()
    }
}

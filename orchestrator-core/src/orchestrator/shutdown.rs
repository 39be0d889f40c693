//! The end of an owner, in bounded steps.

use std::time::Duration;

use super::Orchestrator;
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
        let services = &self.inner.services;
        let mut problems = Vec::new();
        // 1. End the servers, all at once.
        if mode == ShutdownMode::StopAll {
            problems.extend(self.stop_all().await);
        }
        // 2. Cancel what is under way; operations clean up after themselves.
        self.inner.operations.cancel_all();
        services.shutdown.cancel();
        // 3. Let every task finish its last step.
        services.tasks.close();
        if tokio::time::timeout(LAST_STEPS, services.tasks.wait()).await.is_err() {
            problems.push(Problem::new(ErrorCode::Internal, "some tasks did not end in time"));
        }
        // 4. Write down what happened, and let the home go.
        services.events.record(EventDraft::new(EventKind::Daemon, "the owner of this home ended in order"));
        self.inner.event_log_end.cancel();
        self.inner.event_log_task.close();
        if tokio::time::timeout(LAST_STEPS, self.inner.event_log_task.wait()).await.is_err() {
            problems.push(Problem::new(ErrorCode::StoreFailed, "the last events could not be written down in time"));
        }
        self.inner.lock.release();
        problems
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

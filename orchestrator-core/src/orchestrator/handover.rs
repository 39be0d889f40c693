//! How an owner of a home makes way for the next one while requests are under way: everything it knows is written
//! down, its tasks end, servers and the requests on them go on, and the lock is given away without being let go.

use std::collections::BTreeMap;

use super::{Orchestrator, OwnerLock};
use crate::error::{ErrorCode, Problem};
use crate::instance::InstanceState;
use crate::names::InstanceName;

impl Orchestrator {
    /// Says why the home cannot change hands just now: an operation would be cancelled by it, and the end of a server
    /// is seen to its end by whoever began it.
    pub async fn handover_hindrance(&self) -> Result<Option<Problem>, Problem> {
        let operations = self.inner.operations.list().await?;
        if let Some(operation) = operations.iter().find(|operation| !operation.status.is_final()) {
            let problem = Problem::new(ErrorCode::DaemonBusy, format!("{} is under way", operation.kind));
            return Ok(Some(problem.with_hint("wait until it is done, or cancel it with Ctrl-C where it was begun")));
        }
        let stopping = self.inner.fleet.handles().into_iter().find_map(|(name, handle)| {
            let is_stopping = matches!(handle.snapshot.borrow().state, InstanceState::Stopping { .. });
            is_stopping.then_some(name)
        });
        Ok(stopping.map(|name| {
            let problem = Problem::new(ErrorCode::DaemonBusy, format!("`{name}` is being stopped"));
            problem.with_hint("try again when it is stopped; `orch ps` shows it")
        }))
    }

    /// Ends everything but servers and the requests on them, and gives the lock of the home to the caller. From then
    /// on this value touches nothing of the home.
    ///
    /// # Errors
    /// Fails when the home is not ours any more.
    pub async fn detach(&self) -> Result<OwnerLock, Problem> {
        for problem in self.end_tasks("the owner of this home makes way for another").await {
            tracing::warn!(%problem, "on the way to the next owner");
        }
        self.take_lock().ok_or_else(|| Problem::new(ErrorCode::DaemonStopping, "the home is not ours any more"))
    }

    /// Returns how many requests are under way on each instance that has any.
    #[must_use]
    pub fn requests_under_way(&self) -> BTreeMap<InstanceName, usize> {
        let handles = self.inner.fleet.handles().into_iter();
        handles.map(|(name, handle)| (name, handle.activity.in_flight())).filter(|(_, count)| *count > 0).collect()
    }
}

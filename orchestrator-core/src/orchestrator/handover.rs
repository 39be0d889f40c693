//! How an owner of a home makes way for the next one while requests are under way: everything it knows is written
//! down, its tasks end, servers and the requests on them go on, and the lock is given away without being let go.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Orchestrator, OwnerLock};
use crate::error::{ErrorCode, Problem};
use crate::instance::InstanceState;
use crate::names::InstanceName;
use crate::scheduler::Place;

/// How often is looked what earlier owners still answer.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Orchestrator {
    /// Says why the home cannot change hands just now: an operation that nobody goes on with would be cancelled by it, and the end of a server
    /// is seen to its end by whoever began it.
    pub async fn handover_hindrance(&self) -> Result<Option<Problem>, Problem> {
        let operations = self.inner.operations.list().await?;
        if let Some(operation) = operations.iter().find(|operation| !operation.status.is_final() && !operation.kind.is_resumable()) {
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
        let scheduler = &self.inner.services.scheduler;
        let handles = self.inner.fleet.handles().into_iter();
        let counts = handles.map(|(name, handle)| (name, scheduler.view(handle.member).map_or(0, |view| view.in_flight as usize)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Counts the requests of earlier owners as if they were our own, for as long as there are any: nothing they are
    /// on is unloaded.
    pub(super) fn hold_for_predecessors(&self) {
        let services = &self.inner.services;
        let mut held = BTreeMap::new();
        self.hold_as_many(&mut held);
        if held.is_empty() && services.predecessors.list().is_empty() {
            return;
        }
        let (holder, shutdown) = (self.clone(), services.shutdown.clone());
        services.tasks.spawn(async move {
            let holding = async {
                while !holder.inner.services.predecessors.list().is_empty() {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    holder.hold_as_many(&mut held);
                }
            };
            shutdown.run_until_cancelled(holding).await;
        });
    }

    /// Holds as many places on each instance as earlier owners have requests on it.
    fn hold_as_many(&self, held: &mut BTreeMap<InstanceName, Vec<Place>>) {
        let mut wanted: BTreeMap<InstanceName, usize> = BTreeMap::new();
        for (name, count) in self.predecessors().into_iter().flat_map(|predecessor| predecessor.requests) {
            *wanted.entry(name).or_default() += count;
        }
        held.retain(|name, _| wanted.contains_key(name));
        for (name, count) in wanted {
            let Some(handle) = self.inner.fleet.handle(&name) else { continue };
            let occupy = || self.inner.services.scheduler.occupy(handle.member);
            held.entry(name).or_default().resize_with(count, occupy);
        }
    }
}

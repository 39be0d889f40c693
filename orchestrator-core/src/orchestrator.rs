//! The facade: everything a frontend can ask for, over the parts that do it.
//!
//! One [`Orchestrator`] owns one home, by a lock. It is cheap to clone; its clones are the same one.

mod activation;
mod builder;
mod describe;
mod environments;
mod fit;
mod fleet;
mod handover;
mod hardware;
mod instances;
mod lease;
pub mod models;
mod owner_lock;
pub mod predecessors;
mod recovery;
mod reload;
mod routes;
mod runtimes;
mod scheduling;
mod services;
mod shutdown;

use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::DaemonConfig;
use crate::error::Problem;
use crate::event::{Event, EventDraft};
use crate::memory_watch::MemoryWatch;
use crate::paths::Paths;

pub use activation::RuntimeHold;
pub use builder::OrchestratorBuilder;
pub use describe::InstanceDescription;
pub use instances::{InstanceList, RemoveMode};
pub use lease::{Lease, Requester};
pub use owner_lock::OwnerLock;
pub use routes::ServedModel;
pub use runtimes::{RuntimeStatus, RuntimeSummary};
pub use scheduling::SchedulingView;
pub use shutdown::ShutdownMode;

pub(crate) use services::Services;

use fleet::Fleet;
use predecessors::Predecessor;

use crate::operation::registry::OperationRegistry;

/// The owner of one home.
#[derive(Clone)]
pub struct Orchestrator {
    inner: Arc<Inner>,
}

struct Inner {
    services: Arc<Services>,
    fleet: Fleet,
    operations: OperationRegistry,
    /// The event log outlives every other task, so that their last words are written down.
    event_log_task: TaskTracker,
    event_log_end: CancellationToken,
    /// Nothing, once the home is somebody else's.
    lock: Mutex<Option<OwnerLock>>,
}

impl Orchestrator {
    /// Begins to put one together for the home at `paths`.
    #[must_use]
    pub fn builder(paths: Paths) -> OrchestratorBuilder {
        OrchestratorBuilder::new(paths)
    }

    /// Returns where everything lives.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.inner.services.paths
    }

    /// Returns the daemon's configuration.
    #[must_use]
    pub fn config(&self) -> &DaemonConfig {
        &self.inner.services.config
    }

    /// Returns the events after a number, oldest first, at most `limit`. What happened before the call is among them.
    pub async fn events_after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, Problem> {
        self.inner.services.events.flush().await;
        Ok(self.inner.services.store.events_after(sequence, limit).await?)
    }

    /// Returns the last events, oldest first, at most `limit`.
    pub async fn last_events(&self, limit: usize) -> Result<Vec<Event>, Problem> {
        self.inner.services.events.flush().await;
        Ok(self.inner.services.store.last_events(None, limit).await?)
    }

    /// Records something that happened outside of this crate. Never waits.
    pub fn record(&self, event: EventDraft) {
        self.inner.services.events.record(event);
    }

    /// Listens to events from now on. A listener that falls far behind is told how many it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.services.events.subscribe()
    }

    /// Returns the earlier owners of this home that still answer requests.
    #[must_use]
    pub fn predecessors(&self) -> Vec<Predecessor> {
        self.inner.services.predecessors.list()
    }

    /// Asks the earlier owners of this home that still answer requests to end at once.
    pub fn end_predecessors(&self) {
        self.inner.services.predecessors.end_all();
    }

    /// Returns how full the machine's memory is, and asks it anew where that is wanted.
    #[must_use]
    pub fn memory(&self) -> &MemoryWatch {
        &self.inner.services.memory
    }
}

#[cfg(test)]
mod tests;

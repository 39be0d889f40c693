//! Whose the home is, as everything in this process sees it: ours, on its way to a successor or back, or not ours any
//! more. Requests that come meanwhile wait; those that come later are answered all the same.
//!
//! ```text
//! Owning ─► HandingOver ─► Retired
//!    ▲           │ the successor does not come up
//!    └───────────┘
//! ```
//!
//! Owns no change of that: the keeper (`handover`) makes it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::Either;
use orchestrator_core::event::EventDraft;
use orchestrator_core::orchestrator::{Lease, Requester};
use orchestrator_core::runtime::RuntimeCapabilities;
use orchestrator_core::{ErrorCode, InstanceName, InstanceSpec, Orchestrator, Problem};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::loan::{self, BorrowedLease};
use crate::api::ServedModel;
use crate::gateway::{Admission, InstanceLease};

/// What answers requests while the home is ours.
pub(crate) struct Owned {
    pub(crate) orchestrator: Orchestrator,
    /// The control API.
    pub(super) control: Router,
    /// Ends the streams of events when the home is not ours any more.
    pub(crate) streams: CancellationToken,
}

/// Whose the home is.
#[derive(Clone)]
pub(super) enum Phase {
    /// Ours.
    Owning(Arc<Owned>),
    /// On its way to a successor, or back.
    HandingOver(Arc<Owned>),
    /// A successor's. What was ours still counts the requests that have not ended.
    Retired(Arc<Owned>),
}

/// Whose the home is, at rest.
pub(crate) enum Settled {
    /// Ours.
    Owning(Arc<Owned>),
    /// A successor's.
    Retired,
}

/// Everybody's view of whose the home is; admits requests accordingly. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Seat {
    phase: watch::Receiver<Phase>,
    socket: Arc<Path>,
    tasks: TaskTracker,
}

impl Seat {
    pub(super) fn new(phase: watch::Receiver<Phase>, socket: Arc<Path>, tasks: TaskTracker) -> Self {
        Self { phase, socket, tasks }
    }

    /// Returns the socket on which whoever owns the home is found.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns whether the home is a successor's.
    pub(super) fn is_retired(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Retired(_))
    }

    fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Returns whose the home is, once that is certain.
    pub(crate) async fn settled(&self) -> Settled {
        match self.phase() {
            Phase::Owning(owned) => return Settled::Owning(owned),
            Phase::Retired(_) => return Settled::Retired,
            Phase::HandingOver(_) => {}
        }
        let mut phase = self.phase.clone();
        let settled = phase.wait_for(|phase| !matches!(phase, Phase::HandingOver(_))).await.map(|phase| phase.clone());
        match settled {
            Ok(Phase::Owning(owned)) => Settled::Owning(owned),
            // The keeper is gone with the process.
            Ok(Phase::Retired(_) | Phase::HandingOver(_)) | Err(_) => Settled::Retired,
        }
    }

    /// Returns whether `owned` is what answers requests now.
    pub(super) fn is_owning(&self, owned: &Arc<Owned>) -> bool {
        matches!(&*self.phase.borrow(), Phase::Owning(now) if Arc::ptr_eq(now, owned))
    }

    /// Returns what answers requests, or did so last.
    pub(super) fn last(&self) -> Arc<Owned> {
        match &*self.phase.borrow() {
            Phase::Owning(owned) | Phase::HandingOver(owned) | Phase::Retired(owned) => owned.clone(),
        }
    }
}

impl Admission for Seat {
    type Lease = SeatLease;

    async fn admit(&self, model: &str, requester: Requester) -> Result<SeatLease, Problem> {
        loop {
            let owned = match self.settled().await {
                Settled::Owning(owned) => owned,
                Settled::Retired => {
                    let lease = loan::borrow(&self.socket, (model, requester), &self.last().orchestrator, &self.tasks).await?;
                    return Ok(SeatLease::Borrowed(lease));
                }
            };
            match owned.orchestrator.admit_for(model, requester).await {
                // It waited for its turn while the home changed hands: it is asked for again where the home is now.
                Err(problem) if problem.code == ErrorCode::DaemonStopping && !self.is_owning(&owned) => {}
                outcome => return outcome.map(SeatLease::Own),
            }
        }
    }

    fn shun(&self, instance: &InstanceName, pause: Duration) {
        // Whoever has the home now finds out for itself.
        self.last().orchestrator.shun(instance, pause);
    }

    fn record(&self, event: EventDraft) {
        // Once the home is not ours, this is written to the log and stored by nobody.
        self.last().orchestrator.record(event);
    }

    fn served(&self) -> Vec<ServedModel> {
        self.last().orchestrator.served()
    }
}

/// A place in an instance: our own, or one that our successor gave us.
pub(crate) enum SeatLease {
    Own(Lease),
    Borrowed(BorrowedLease),
}

impl InstanceLease for SeatLease {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Own(lease) => lease.address(),
            Self::Borrowed(lease) => lease.address(),
        }
    }

    fn server(&self) -> u64 {
        match self {
            Self::Own(lease) => InstanceLease::server(lease),
            Self::Borrowed(lease) => lease.server(),
        }
    }

    fn instance(&self) -> &InstanceName {
        match self {
            Self::Own(lease) => lease.instance(),
            Self::Borrowed(lease) => lease.instance(),
        }
    }

    fn spec(&self) -> &Arc<InstanceSpec> {
        match self {
            Self::Own(lease) => lease.spec(),
            Self::Borrowed(lease) => lease.spec(),
        }
    }

    fn capabilities(&self) -> RuntimeCapabilities {
        match self {
            Self::Own(lease) => lease.capabilities(),
            Self::Borrowed(lease) => lease.capabilities(),
        }
    }

    fn gone(&self) -> impl Future<Output = ()> + Send {
        match self {
            Self::Own(lease) => Either::Left(lease.gone()),
            Self::Borrowed(lease) => Either::Right(lease.gone()),
        }
    }
}

//! Admission: a request asks for a model by name and gets a lease on a server that is ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Orchestrator;
use super::fleet::Target;
use crate::error::{ErrorCode, Problem};
use crate::instance::driver::InstanceHandle;
use crate::instance::{InstanceSnapshot, InstanceSpec, InstanceState};
use crate::launcher::WorkloadIdentity;
use crate::names::InstanceName;
use crate::runtime::RuntimeCapabilities;
use crate::scheduler::Place;
use crate::scheduler::policy::{Arrival, ClientId, Refusal};

/// How often a server may end between the moment a request is let in and the moment it is seen, before we give up.
const LOST_PLACES: usize = 8;

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requester {
    /// Tells clients apart, so that each gets its turn.
    pub client: ClientId,
    /// Requests with a higher one are served first.
    pub priority: i32,
}

/// A place on a server that is ready. The instance is not unloaded while it is held; dropping it gives the place back.
#[derive(Debug)]
pub struct Lease {
    spec: Arc<InstanceSpec>,
    address: SocketAddr,
    identity: WorkloadIdentity,
    capabilities: RuntimeCapabilities,
    snapshot: watch::Receiver<InstanceSnapshot>,
    #[expect(dead_code, reason = "held for its drop")]
    place: Place,
}

impl Lease {
    /// Returns where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns who that server is.
    #[must_use]
    pub fn server(&self) -> &WorkloadIdentity {
        &self.identity
    }

    /// Returns the instance.
    #[must_use]
    pub fn instance(&self) -> &InstanceName {
        &self.spec.name
    }

    /// Returns the instance's configuration.
    #[must_use]
    pub fn spec(&self) -> &Arc<InstanceSpec> {
        &self.spec
    }

    /// Returns what the instance's engine is able to do.
    #[must_use]
    pub fn capabilities(&self) -> RuntimeCapabilities {
        self.capabilities
    }

    /// Resolves when that server is gone or being ended.
    pub fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut snapshot = self.snapshot.clone();
        let identity = self.identity.clone();
        async move {
            let is_gone = |snapshot: &InstanceSnapshot| match &snapshot.state {
                InstanceState::Ready { server, .. } | InstanceState::Unhealthy { server, .. } => server.identity != identity,
                _ => true,
            };
            // The sender goes only when the daemon goes; the server outlives that.
            if snapshot.wait_for(is_gone).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Orchestrator {
    /// Gives a request a place on a server that serves what it asks for, and has one started where none runs.
    /// Concurrent requests wait for one start; who waits is served in turn.
    ///
    /// # Errors
    /// Fails when nothing has that name, when too many wait already, when no server can be started, when there is no
    /// room for one, and when its turn does not come within `queue.max_wait`.
    pub async fn admit(&self, model: &str) -> Result<Lease, Problem> {
        self.admit_for(model, Requester::default()).await
    }

    /// Does what [`Self::admit`] does, for a client that takes turns with others.
    pub async fn admit_for(&self, model: &str, requester: Requester) -> Result<Lease, Problem> {
        let services = &self.inner.services;
        for _ in 0..LOST_PLACES {
            let target = self.inner.fleet.find(services, model)?;
            let Requester { client, priority } = requester;
            let arrival = Arrival { target: target.members.clone(), client, priority, follows: target.follows };
            // Who waits when the owner of this home goes is told so, and asks the next one.
            let Some(answer) = services.shutdown.run_until_cancelled(services.scheduler.admit(&arrival)).await else {
                return Err(Problem::new(ErrorCode::DaemonStopping, "the daemon is shutting down"));
            };
            let place = match answer {
                Ok(place) => place,
                Err(Refusal::NotServing) => match self.why_not_serving(&target) {
                    Some(problem) => return Err(problem),
                    // It was mended meanwhile.
                    None => continue,
                },
                Err(refusal) => return Err(refused(&target, model, &refusal)),
            };
            if let Some(lease) = self.lease(&target, place)? {
                return Ok(lease);
            }
        }
        let mut problem = Problem::new(ErrorCode::InstanceUnavailable, format!("the servers of `{model}` end as soon as they are ready"));
        problem.retry_after_seconds = Some(5);
        Err(problem)
    }

    /// Prefers other instances of the same model for so long, because this one fails its requests; no longer, when that is no
    /// time at all.
    pub fn shun(&self, instance: &InstanceName, pause: Duration) {
        if let Some(handle) = self.inner.fleet.handle(instance) {
            self.inner.services.scheduler.shun(handle.member, pause);
        }
    }

    /// Makes a lease of a place; `None` when its server ended in the same moment.
    fn lease(&self, target: &Target, place: Place) -> Result<Option<Lease>, Problem> {
        // Another instance became the active one while it waited.
        let moved = || self.inner.fleet.handle_of(place.member());
        let Some(handle) = target.handle(place.member()).cloned().or_else(moved) else { return Ok(None) };
        let (spec, address, identity) = {
            let seen = handle.snapshot.borrow();
            let InstanceState::Ready { server, .. } = &seen.state else { return Ok(None) };
            (seen.spec.clone(), server.address, server.identity.clone())
        };
        let capabilities = self.inner.services.runtime(spec.runtime)?.capabilities();
        Ok(Some(Lease { spec, address, identity, capabilities, snapshot: handle.snapshot.clone(), place }))
    }

    /// Says why none of the instances serves now; the one that may be back first decides.
    fn why_not_serving(&self, target: &Target) -> Option<Problem> {
        let problems = target.handles().iter().filter_map(|handle| {
            let seen = handle.snapshot.borrow();
            why_not(&seen).or_else(|| self.inner.services.scheduler.unstartable(handle.member))
        });
        problems.min_by_key(|problem| problem.retry_after_seconds.unwrap_or(u64::MAX))
    }
}

fn why_not(seen: &InstanceSnapshot) -> Option<Problem> {
    let name = &seen.spec.name;
    match &seen.state {
        InstanceState::Failed { failure, .. } => {
            let problem = failure.to_problem(name.as_str());
            Some(problem.with_hint(format!("mend the cause and run `orch up {name}`; `orch describe {name}` tells more")))
        }
        InstanceState::Backoff { failure, .. } => {
            let mut problem = failure.to_problem(name.as_str()).with_retry_after(seen.next_start_in().unwrap_or_default());
            problem.status = 503;
            Some(problem)
        }
        InstanceState::Unhealthy { reason, .. } => {
            let mut problem = Problem::new(ErrorCode::InstanceUnhealthy, format!("`{name}` is unhealthy: {reason}"));
            problem.retry_after_seconds = Some(1);
            Some(problem.with_hint(format!("it is replaced if it stays so; `orch describe {name}` tells more")))
        }
        InstanceState::Stopped { .. }
        | InstanceState::Starting { .. }
        | InstanceState::Loading { .. }
        | InstanceState::Ready { .. }
        | InstanceState::Stopping { .. } => None,
    }
}

fn refused(target: &Target, model: &str, refusal: &Refusal) -> Problem {
    let estimate = |wait: &Option<Duration>| wait.map_or(1, whole_seconds);
    match refusal {
        Refusal::QueueFull { waiting, wait } => {
            let mut problem = Problem::new(ErrorCode::InstanceBusy, format!("{waiting} requests wait for `{model}` already"));
            problem.retry_after_seconds = Some(estimate(wait));
            problem.with_hint("try again later, or raise `queue.depth` in the instance's configuration")
        }
        Refusal::WaitedTooLong { waited, wait } => {
            let states: Vec<_> = target.handles().iter().map(describe_wait).collect();
            let is_ready = target.handles().iter().any(|handle| matches!(handle.snapshot.borrow().state, InstanceState::Ready { .. }));
            let code = if is_ready { ErrorCode::InstanceBusy } else { ErrorCode::InstanceUnavailable };
            let message = format!("{} after {} s", states.join(", "), waited.as_secs_f64().round());
            let mut problem = Problem::new(code, message);
            problem.retry_after_seconds = Some(estimate(wait).max(1));
            problem.with_hint("try again later, or raise `queue.max_wait` of the instance or `limits.start_wait` in `config.yaml`")
        }
        Refusal::NoRoom(_) | Refusal::NotServing => {
            let of_state = target.handles().iter().find_map(|handle| why_not(&handle.snapshot.borrow()));
            of_state.unwrap_or_else(|| Problem::new(ErrorCode::NoRoom, format!("there is no room for `{model}` in memory")))
        }
    }
}

/// Such as "`x` is still loading".
fn describe_wait(handle: &InstanceHandle) -> String {
    let seen = handle.snapshot.borrow();
    match seen.state {
        InstanceState::Ready { .. } => format!("`{}` is still busy", seen.spec.name),
        _ => format!("`{}` is still {}", seen.spec.name, seen.state.name()),
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

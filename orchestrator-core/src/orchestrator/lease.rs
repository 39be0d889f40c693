//! Admission: a request asks for a model by name and gets a lease on a server that is ready.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::Orchestrator;
use crate::error::{ErrorCode, Problem};
use crate::instance::activity::InFlight;
use crate::instance::driver::InstanceHandle;
use crate::instance::{InstanceSnapshot, InstanceSpec, InstanceState};
use crate::launcher::WorkloadIdentity;
use crate::names::InstanceName;
use crate::runtime::RuntimeCapabilities;

/// A place on a server that is ready. The instance is not unloaded while it is held; dropping it gives the place back.
#[derive(Debug)]
pub struct Lease {
    spec: Arc<InstanceSpec>,
    address: SocketAddr,
    identity: WorkloadIdentity,
    capabilities: RuntimeCapabilities,
    snapshot: watch::Receiver<InstanceSnapshot>,
    #[expect(dead_code, reason = "held for its drop")]
    in_flight: InFlight,
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
    /// Gives a request a place on the server it asks for, and starts that server where it does not run yet.
    /// Concurrent requests wait for one start.
    ///
    /// # Errors
    /// Fails when nothing has that name, when the server cannot be started, or when it is not ready within
    /// `limits.start_wait`.
    pub async fn admit(&self, model: &str) -> Result<Lease, Problem> {
        let handle = self.inner.fleet.find(&self.inner.services, model)?;
        let in_flight = handle.activity.begin();
        let deadline = self.config().limits.start_wait.get();
        let ready = match tokio::time::timeout(deadline, self.ready_server(&handle)).await {
            Ok(ready) => ready?,
            Err(_) => return Err(too_late(&handle, deadline.as_secs())),
        };
        let place = handle.activity.place().await;
        let ReadyServer { spec, address, identity } = ready;
        let capabilities = self.inner.services.runtime(spec.runtime)?.capabilities();
        Ok(Lease { spec, address, identity, capabilities, snapshot: handle.snapshot.clone(), in_flight: in_flight.holding(place) })
    }

    /// Waits until the instance is ready, starting it once where it is stopped.
    async fn ready_server(&self, handle: &InstanceHandle) -> Result<ReadyServer, Problem> {
        let mut snapshot = handle.snapshot.clone();
        loop {
            let seen = snapshot.borrow_and_update().clone();
            let name = &seen.spec.name;
            match &seen.state {
                InstanceState::Ready { server, .. } => {
                    return Ok(ReadyServer { spec: seen.spec.clone(), address: server.address, identity: server.identity.clone() });
                }
                InstanceState::Stopped { .. } => self.up(name).await?,
                InstanceState::Failed { failure, .. } => {
                    let problem = failure.to_problem(name.as_str());
                    return Err(problem.with_hint(format!("mend the cause and run `orch up {name}`; `orch describe {name}` tells more")));
                }
                InstanceState::Backoff { until, failure, .. } => {
                    let mut problem = failure.to_problem(name.as_str()).with_retry_after(until.remaining());
                    problem.status = 503;
                    return Err(problem);
                }
                InstanceState::Unhealthy { reason, .. } => {
                    let mut problem = Problem::new(ErrorCode::InstanceUnhealthy, format!("`{name}` is unhealthy: {reason}"));
                    problem.retry_after_seconds = Some(1);
                    return Err(problem.with_hint(format!("it is replaced if it stays so; `orch describe {name}` tells more")));
                }
                InstanceState::Starting { .. } | InstanceState::Loading { .. } | InstanceState::Stopping { .. } => {}
            }
            if snapshot.changed().await.is_err() {
                return Err(Problem::new(ErrorCode::DaemonStopping, "the daemon is shutting down"));
            }
        }
    }
}

struct ReadyServer {
    spec: Arc<InstanceSpec>,
    address: SocketAddr,
    identity: WorkloadIdentity,
}

fn too_late(handle: &InstanceHandle, seconds: u64) -> Problem {
    let snapshot = handle.snapshot.borrow();
    let (name, state) = (&snapshot.spec.name, snapshot.state.name());
    let mut problem = Problem::new(ErrorCode::InstanceUnavailable, format!("`{name}` is still {state} after {seconds} s"));
    problem.retry_after_seconds = Some(5);
    problem.with_hint("try again later, or raise `limits.start_wait` in `config.yaml`")
}

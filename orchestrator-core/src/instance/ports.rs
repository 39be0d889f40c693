//! Which ports were given to servers that may not listen on them yet, so that no port is given twice.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{ErrorCode, Problem};
use crate::names::InstanceName;
use crate::process::ports;

/// How long a port stays ours after it was given out, whether or not a server listens on it.
const CLAIM: Duration = Duration::from_secs(10);
/// How many free ports are looked at before we give up.
const ATTEMPTS: usize = 64;

/// The ports that were given out lately.
#[derive(Debug, Default)]
pub(crate) struct PortBook {
    claims: Mutex<HashMap<u16, (InstanceName, Instant)>>,
}

impl PortBook {
    /// Claims a port that people chose, or says who holds it.
    pub(crate) fn claim_configured(&self, instance: &InstanceName, address: SocketAddr) -> Result<u16, Problem> {
        let is_free = ports::is_free(address).map_err(|error| {
            let problem = Problem::new(ErrorCode::PortTaken, format!("nothing may listen at {address}"));
            problem.with_cause(error.to_string()).with_hint("choose another `server.port` or `server.host`, or leave them out")
        })?;
        if is_free && self.claim(instance, address.port()) {
            return Ok(address.port());
        }
        let holder = ports::holder_of(address);
        let held_by = holder.map_or_else(|| "another program".to_owned(), |holder| holder.to_string());
        let problem = Problem::new(ErrorCode::PortTaken, format!("the port {} is taken by {held_by}", address.port()));
        Err(problem.with_hint("stop that program, choose another `server.port`, or leave it out to get a free one"))
    }

    /// Claims one of the preferred ports if it is free, else any free one.
    pub(crate) fn claim_any(&self, instance: &InstanceName, host: IpAddr, preferred: &[Option<u16>]) -> Result<u16, Problem> {
        for port in preferred.iter().flatten().copied() {
            if ports::is_free(SocketAddr::new(host, port)).unwrap_or(false) && self.claim(instance, port) {
                return Ok(port);
            }
        }
        for _ in 0..ATTEMPTS {
            let port = ports::free_port(host).map_err(|error| {
                let problem = Problem::new(ErrorCode::PortTaken, format!("no free port could be had on {host}"));
                problem.with_cause(error.to_string()).with_hint("check that `server.host` is an address of this machine")
            })?;
            if self.claim(instance, port) {
                return Ok(port);
            }
        }
        Err(Problem::new(ErrorCode::PortTaken, format!("no free port could be had on {host}: all that were tried are given out")))
    }

    /// Claims the port unless another instance did so lately. An instance may have its own port again at once.
    fn claim(&self, instance: &InstanceName, port: u16) -> bool {
        let mut claims = self.lock();
        claims.retain(|_, (_, since)| since.elapsed() < CLAIM);
        let is_ours = claims.get(&port).is_none_or(|(owner, _)| owner == instance);
        if is_ours {
            claims.insert(port, (instance.clone(), Instant::now()));
        }
        is_ours
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u16, (InstanceName, Instant)>> {
        // A panic elsewhere cannot leave the map half changed.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

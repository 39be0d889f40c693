//! How a server is asked whether it is ready or healthy: over HTTP, by connecting to it, or by a command.
//!
//! A [`Probe`] is made once for a server, from the configuration the server was started with; that configuration is
//! remembered with the server, so that one that was taken over is asked in the same way. What follows from an answer is
//! the driver's business.

mod command;
mod http;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::InstanceSpec;
use super::spec::ProbeKind;
use super::state::RunningServer;
use crate::orchestrator::Services;
use command::CommandProbe;
use http::HttpProbe;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    /// It is well.
    Healthy,
    /// It answered 503: it is not ready yet.
    Loading {
        /// Its own words.
        detail: String,
    },
    /// Nobody listens there.
    Refused,
    /// It answered badly, or not in time.
    Bad {
        /// What was seen.
        reason: String,
    },
}

/// How one server is asked.
#[derive(Debug, Clone)]
pub(super) enum Probe {
    Http(HttpProbe),
    Tcp(SocketAddr),
    Command(Arc<CommandProbe>),
}

impl Probe {
    /// Makes the probe that a configuration wants for a server.
    pub(super) fn new(services: &Arc<Services>, spec: &InstanceSpec, server: &RunningServer) -> Self {
        let address = server.address;
        match spec.healthcheck.probe {
            ProbeKind::Http => {
                let fallback_path = spec.healthcheck.fallback_path.clone();
                Self::Http(HttpProbe { address, path: server.health_path.clone(), fallback_path })
            }
            ProbeKind::Tcp => Self::Tcp(address),
            ProbeKind::Command => Self::Command(Arc::new(CommandProbe::new(services, spec, address))),
        }
    }

    /// Asks, and waits for at most `timeout`.
    pub(super) async fn ask(&self, timeout: Duration) -> ProbeOutcome {
        let question = match self {
            // Its limit is its own: what it started must be ended then.
            Self::Command(probe) => return probe.ask(timeout).await,
            Self::Http(probe) => tokio::time::timeout(timeout, probe.ask()).await,
            Self::Tcp(address) => tokio::time::timeout(timeout, connect(*address)).await,
        };
        question.unwrap_or_else(|_| {
            let what = match self {
                Self::Http(probe) => format!("`GET {}` was not answered", probe.path),
                Self::Tcp(address) => format!("{address} took no connection"),
                Self::Command(_) => "the command did not end".to_owned(),
            };
            ProbeOutcome::Bad { reason: format!("{what} within {} s", timeout.as_secs_f32()) }
        })
    }
}

async fn connect(address: SocketAddr) -> ProbeOutcome {
    match TcpStream::connect(address).await {
        Ok(_) => ProbeOutcome::Healthy,
        Err(error) => not_connected(address, &error),
    }
}

fn not_connected(address: SocketAddr, error: &std::io::Error) -> ProbeOutcome {
    if error.kind() == std::io::ErrorKind::ConnectionRefused {
        ProbeOutcome::Refused
    } else {
        ProbeOutcome::Bad { reason: format!("could not connect to {address}: {error}") }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_is_enough_for_a_tcp_probe() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = Probe::Tcp(listener.local_addr().unwrap());
        assert_eq!(probe.ask(Duration::from_secs(5)).await, ProbeOutcome::Healthy);
        drop(listener);
        assert_eq!(probe.ask(Duration::from_secs(5)).await, ProbeOutcome::Refused);
    }
}

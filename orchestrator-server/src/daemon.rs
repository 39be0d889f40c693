//! The daemon: one process that owns a home and serves it on a private Unix socket and on a TCP port.
//!
//! ```text
//! accept ─► (TCP: auth) ─► /v1/…  gateway
//!                        └► else   control API (routes)
//! ```
//!
//! Owns the listeners, the connections and the order in which they end. What the process does before and after
//! (signals, logging, arguments) belongs to the frontend.

mod connection;
mod error;
mod file;
mod listen;
mod service;
pub(crate) mod status;

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::orchestrator::ShutdownMode;
use orchestrator_core::{Orchestrator, Problem};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::DaemonError;
pub use file::DaemonFile;

use crate::api::ShutdownRequest;
use crate::auth::{ApiKey, Guard};
use crate::gateway::Gateway;
use crate::metrics::{MetricsSource, observe};
use crate::routes::{Control, router};
use connection::Acceptor;
use service::Service;
use status::StatusSource;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a daemon behaves, besides what its configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonOptions {
    /// How long requests that are under way may take to end once the daemon goes down.
    pub drain: Duration,
    /// How many connections are served at a time; more are told to come back. Fewer, where the system allows fewer.
    pub most_connections: usize,
    /// How long a client may take to send the head of a request, and be idle between two.
    pub head_timeout: Duration,
}

impl Default for DaemonOptions {
    fn default() -> Self {
        Self { drain: Duration::from_secs(5), most_connections: 16_384, head_timeout: Duration::from_secs(10) }
    }
}

/// A serving daemon. Dropping it closes its listeners at once; [`Daemon::shutdown`] ends it in order.
pub struct Daemon {
    orchestrator: Orchestrator,
    endpoint: String,
    options: DaemonOptions,
    wish: watch::Sender<Option<ShutdownRequest>>,
    phases: Phases,
}

/// What ends when; each one implies those before it.
struct Phases {
    /// Streams of the control API end, new work is refused, the TCP listener is closed, idle connections are closed.
    ending: CancellationToken,
    /// Connections are closed, whatever they do.
    closing: CancellationToken,
    /// The Unix socket is closed.
    gone: CancellationToken,
    tcp: TaskTracker,
    unix: TaskTracker,
}

impl Drop for Phases {
    fn drop(&mut self) {
        self.ending.cancel();
        self.closing.cancel();
        self.gone.cancel();
    }
}

impl Daemon {
    /// Begins to serve a home that `orchestrator` owns.
    ///
    /// # Errors
    /// Fails when the socket or the configured port cannot be listened on, and when an API key is needed and cannot
    /// be made.
    #[expect(clippy::unused_async, reason = "it needs a runtime around it, which `async` says")]
    pub async fn start(orchestrator: Orchestrator, options: DaemonOptions) -> Result<Self, DaemonError> {
        let config = orchestrator.config().clone();
        let paths = orchestrator.paths().clone();
        let most_connections = listen::raise_descriptor_limit(options.most_connections);
        let tcp = listen::tcp(&config.gateway)?;
        let address = tcp.local_addr().map_err(|source| DaemonError::System { action: "ask for the address we listen on", source })?;
        let endpoint = listen::endpoint(address);
        let key = if address.ip().is_loopback() { None } else { Some(ApiKey::load_or_create(&paths.api_key_file())?) };
        let unix = listen::unix(&paths.socket())?;

        let phases = Phases {
            ending: CancellationToken::new(),
            closing: CancellationToken::new(),
            gone: CancellationToken::new(),
            tcp: TaskTracker::new(),
            unix: TaskTracker::new(),
        };
        let (wish, _) = watch::channel(None);
        let status = StatusSource::new(&paths, endpoint.clone());
        let gateway = Gateway::new(orchestrator.clone(), &config.limits, phases.tcp.clone());
        let observed = Arc::default();
        phases.tcp.spawn(phases.ending.clone().run_until_cancelled_owned(observe(Arc::clone(&observed), orchestrator.subscribe())));
        let metrics = MetricsSource::new(orchestrator.clone(), Arc::clone(gateway.stations()), observed);
        let control =
            Control { orchestrator: orchestrator.clone(), status, metrics, shutdown: wish.clone(), ending: phases.ending.clone() };
        let service = Arc::new(Service::new(router(control), gateway.clone(), phases.ending.clone()));
        let guard = Arc::new(Guard::new(&config.gateway, address.port(), key));

        let acceptor = Acceptor::new(service, most_connections, options.head_timeout);
        let from_tcp = acceptor.clone().serve_tcp(tcp, guard, phases.ending.clone(), phases.closing.clone(), phases.tcp.clone());
        phases.tcp.spawn(from_tcp);
        let from_unix = acceptor.serve_unix(unix, phases.gone.clone(), phases.gone.clone(), phases.unix.clone());
        phases.unix.spawn(from_unix);
        let ending = phases.ending.clone();
        phases.tcp.spawn(async move { ending.run_until_cancelled(gateway.keep_tidy()).await });

        DaemonFile::new(endpoint.clone()).write(&paths)?;
        tracing::info!(%endpoint, socket = %paths.socket().display(), "serving");
        Ok(Self { orchestrator, endpoint, options, wish, phases })
    }

    /// Returns where clients of the gateway reach it, such as `http://127.0.0.1:8484`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns what is served.
    #[must_use]
    pub fn orchestrator(&self) -> &Orchestrator {
        &self.orchestrator
    }

    /// Waits until a client asks for the daemon's end.
    pub async fn wait_shutdown_requested(&self) -> ShutdownRequest {
        let mut wish = self.wish.subscribe();
        loop {
            if let Some(request) = *wish.borrow_and_update() {
                return request;
            }
            if wish.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends the daemon in order, and returns what went wrong on the way. On the Unix socket it says until the last
    /// moment that it is going down.
    pub async fn shutdown(self, mode: ShutdownMode) -> Vec<Problem> {
        let Self { orchestrator, options, phases, .. } = &self;
        // 1. Stop accepting clients; end our own streams; refuse new work.
        phases.ending.cancel();
        phases.tcp.close();
        // 2. Let the requests that are under way end.
        if tokio::time::timeout(options.drain, phases.tcp.wait()).await.is_err() {
            tracing::warn!(connections = phases.tcp.len(), "closing connections that are still busy");
        }
        phases.closing.cancel();
        phases.tcp.wait().await;
        // 3. Servers, operations, instances, state, the lock: bounded by the core.
        let problems = orchestrator.shutdown(mode).await;
        // 4. Disappear: nobody is to find a socket or an address that nobody serves.
        let paths = orchestrator.paths();
        DaemonFile::remove(paths);
        listen::remove_socket(&paths.socket());
        phases.gone.cancel();
        phases.unix.close();
        phases.unix.wait().await;
        problems
    }
}

#[cfg(test)]
mod tests;

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
mod forward;
mod handover;
mod listen;
mod loan;
pub(crate) mod seat;
mod service;
pub(crate) mod status;

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::orchestrator::ShutdownMode;
use orchestrator_core::{Orchestrator, Problem};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::DaemonError;
pub use file::DaemonFile;
pub use handover::{Estate, Inheritance, Reopen, take_over};

use crate::api::ShutdownRequest;
use crate::auth::{ApiKey, Guard};
use crate::gateway::{Gateway, Stations};
use crate::metrics::{MetricsSource, observe};
use crate::routes::{Control, router};
use connection::Acceptor;
use handover::{Keeper, Loss};
use listen::Listeners;
use seat::{Owned, Phase, Seat, Settled};
use service::Service;
use status::StatusSource;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long idle connections and our own streams are given to end before what is left is cut.
const LAST_WORDS: Duration = Duration::from_secs(1);

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

/// A daemon's place among those before and after it.
#[derive(Default)]
pub struct Succession {
    /// What the one before handed over; without it the daemon listens anew.
    pub estate: Option<Estate>,
    /// How the home is opened again when the one after does not come up; without it the daemon is never replaced.
    pub reopen: Option<Reopen>,
}

/// Why a daemon serves no longer.
#[derive(Debug, Clone)]
pub enum DaemonEnd {
    /// A client asks for its end. It still serves.
    Asked(ShutdownRequest),
    /// A successor serves the home. What had begun here is still answered here.
    Replaced {
        /// The successor's process id.
        pid: i32,
    },
    /// The home is closed, and could not be opened again.
    Closed(Problem),
}

/// A serving daemon. Dropping it closes its listeners at once; [`Daemon::shutdown`] ends it in order.
pub struct Daemon {
    endpoint: String,
    options: DaemonOptions,
    wish: watch::Sender<Option<ShutdownRequest>>,
    loss: watch::Receiver<Option<Loss>>,
    replaced_drain: Duration,
    seat: Seat,
    phases: Phases,
    _guard: EndOfPhases,
}

/// What ends when; each one implies those before it.
#[derive(Clone)]
struct Phases {
    /// Streams of the control API end, new work is refused, the TCP listener is closed, idle connections are closed.
    ending: CancellationToken,
    /// Connections are closed, whatever they do.
    closing: CancellationToken,
    /// The Unix socket is closed.
    gone: CancellationToken,
    /// The connections of TCP, and what they left to be done.
    tcp: TaskTracker,
    /// The connections of the Unix socket.
    unix: TaskTracker,
    /// Our own tasks.
    own: TaskTracker,
}

impl Phases {
    fn new() -> Self {
        Self {
            ending: CancellationToken::new(),
            closing: CancellationToken::new(),
            gone: CancellationToken::new(),
            tcp: TaskTracker::new(),
            unix: TaskTracker::new(),
            own: TaskTracker::new(),
        }
    }
}

struct EndOfPhases(Phases);

impl Drop for EndOfPhases {
    fn drop(&mut self) {
        self.0.ending.cancel();
        self.0.closing.cancel();
        self.0.gone.cancel();
    }
}

impl Daemon {
    /// Begins to serve a home that `orchestrator` owns.
    ///
    /// # Errors
    /// Fails when the socket or the configured port cannot be listened on, and when an API key is needed and cannot
    /// be made.
    pub async fn start(orchestrator: Orchestrator, options: DaemonOptions) -> Result<Self, DaemonError> {
        Self::succeed(orchestrator, options, Succession::default()).await
    }

    /// Begins to serve a home that `orchestrator` owns, in the place of another daemon or to be replaced by one.
    ///
    /// # Errors
    /// Fails as [`Self::start`] does, and when the daemon before is gone before it heard that we serve.
    pub async fn succeed(orchestrator: Orchestrator, options: DaemonOptions, succession: Succession) -> Result<Self, DaemonError> {
        let config = orchestrator.config().clone();
        let paths = orchestrator.paths().clone();
        let most_connections = listen::raise_descriptor_limit(options.most_connections);
        let (listeners, witness) = match succession.estate {
            Some(estate) => (estate.listeners.inherit(&config.gateway)?, Some(estate.witness)),
            None => (Listeners::open(&config.gateway, &paths.socket())?, None),
        };
        let address = listen::address_of(&listeners.tcp)?;
        let endpoint = listen::endpoint(address);
        let key = if address.ip().is_loopback() { None } else { Some(ApiKey::load_or_create(&paths.api_key_file())?) };

        let phases = Phases::new();
        let guard = EndOfPhases(phases.clone());
        let (wish, _) = watch::channel(None);
        let status = StatusSource::new(&paths, endpoint.clone());
        let (shutdown, ending) = (wish.clone(), phases.ending.clone());
        let stations: Arc<Stations> = Arc::default();
        let (observed, counted, own) = (Arc::default(), Arc::clone(&stations), phases.own.clone());
        let furnish = move |orchestrator: Orchestrator| {
            let streams = ending.child_token();
            own.spawn(streams.clone().run_until_cancelled_owned(observe(Arc::clone(&observed), orchestrator.subscribe())));
            let control = Control {
                orchestrator: orchestrator.clone(),
                status: status.clone(),
                metrics: MetricsSource::new(orchestrator.clone(), Arc::clone(&counted), Arc::clone(&observed)),
                shutdown: shutdown.clone(),
                ending: ending.clone(),
                streams: streams.clone(),
            };
            Arc::new(Owned { orchestrator, control: router(control), streams })
        };
        let (phase, watched) = watch::channel(Phase::Owning(furnish(orchestrator.clone())));
        let seat = Seat::new(watched, paths.socket().into(), phases.own.clone());
        let gateway = Gateway::counting(seat.clone(), &config.limits, phases.tcp.clone(), stations);
        let (calls, inbox) = mpsc::channel(1);
        let service = Arc::new(Service::new(gateway.clone(), seat.clone(), phases.ending.clone(), calls));
        let guard_of_tcp = Arc::new(Guard::new(&config.gateway, address.port(), key));
        let (letting_go, events) = (gateway.clone(), orchestrator.subscribe());
        phases.own.spawn(phases.gone.clone().run_until_cancelled_owned(letting_go.let_go(events)));
        let tidying = phases.gone.clone();
        phases.own.spawn(async move { tidying.run_until_cancelled(gateway.keep_tidy()).await });

        DaemonFile::new(endpoint.clone()).write(&paths)?;
        if let Some(witness) = witness
            && let Err(error) = witness.confirm().await
        {
            // It was killed. The lock, and so the home, is ours all the same.
            tracing::warn!(%error, "the daemon before us is gone");
        }
        let acceptor = Acceptor {
            service,
            guard: guard_of_tcp,
            room: connection::room(most_connections),
            head_timeout: options.head_timeout,
            phases: phases.clone(),
        };
        let accepting = acceptor.accept(listeners);
        let (losing, loss) = watch::channel(None);
        if let Some(reopen) = succession.reopen {
            let keeper = Keeper {
                paths: paths.clone(),
                endpoint: endpoint.clone(),
                reopen,
                furnish: Box::new(furnish),
                phase,
                acceptor,
                accepting: Some(accepting),
                calls: inbox,
                loss: losing,
                ending: phases.ending.clone(),
                connections: [phases.tcp.clone(), phases.unix.clone()],
            };
            phases.own.spawn(keeper.run(phases.gone.clone()));
        }
        tracing::info!(%endpoint, socket = %paths.socket().display(), "serving");
        let replaced_drain = config.limits.replaced_drain.get();
        Ok(Self { endpoint, options, wish, loss, replaced_drain, seat, phases, _guard: guard })
    }

    /// Returns where clients of the gateway reach it, such as `http://127.0.0.1:8484`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns what is served. It is another one after a successor did not come up.
    #[must_use]
    pub fn orchestrator(&self) -> Orchestrator {
        self.seat.last().orchestrator.clone()
    }

    /// Waits until a client asks for the daemon's end, or until it serves its home no longer.
    pub async fn wait_end(&self) -> DaemonEnd {
        let (mut wish, mut loss) = (self.wish.subscribe(), self.loss.clone());
        let asked = async {
            match wish.wait_for(Option::is_some).await.map(|wish| *wish) {
                Ok(Some(request)) => DaemonEnd::Asked(request),
                Ok(None) | Err(_) => std::future::pending().await,
            }
        };
        let replaced = async {
            match loss.wait_for(Option::is_some).await.map(|loss| loss.clone()) {
                Ok(Some(Loss::Replaced { pid })) => DaemonEnd::Replaced { pid },
                Ok(Some(Loss::Closed(problem))) => DaemonEnd::Closed(problem),
                // Nobody replaces it.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            end = asked => end,
            end = replaced => end,
        }
    }

    /// Ends the daemon in order, and returns what went wrong on the way. On the Unix socket it says until the last
    /// moment that it is going down. One that was replaced leaves everything to its successor.
    pub async fn shutdown(self, mode: ShutdownMode) -> Vec<Problem> {
        let Self { options, phases, .. } = &self;
        // 1. Stop accepting clients; end our own streams; refuse new work. A hand-over under way comes to its end.
        phases.ending.cancel();
        phases.tcp.close();
        let Settled::Owning(owned) = self.seat.settled().await else {
            self.disappear().await;
            return Vec::new();
        };
        // 2. Let the requests that are under way end.
        if tokio::time::timeout(options.drain, phases.tcp.wait()).await.is_err() {
            tracing::warn!(connections = phases.tcp.len(), "closing connections that are still busy");
        }
        phases.closing.cancel();
        phases.tcp.wait().await;
        // 3. Servers, operations, instances, state, the lock: bounded by the core.
        let orchestrator = &owned.orchestrator;
        let paths = orchestrator.paths();
        if mode == ShutdownMode::StopAll {
            orchestrator.end_predecessors();
        }
        let (problems, lock) = orchestrator.close(mode).await;
        // 4. Disappear: nobody is to find a socket or an address that nobody serves. Only then may the next owner come.
        DaemonFile::remove(paths);
        listen::remove_socket(&paths.socket());
        drop(lock);
        self.disappear().await;
        problems
    }

    /// Answers what had begun before the daemon was replaced, for as long as the configuration allows; then ends.
    pub async fn drain(self) {
        let Phases { tcp, unix, ending, closing, gone, .. } = &self.phases;
        tcp.close();
        unix.close();
        let limit = self.replaced_drain;
        let drained = async { tokio::join!(tcp.wait(), unix.wait()) };
        if tokio::time::timeout(limit, drained).await.is_err() {
            tracing::warn!(connections = tcp.len() + unix.len(), ?limit, "closing connections that are still busy");
            ending.cancel();
            gone.cancel();
            // What ends in order does so at once.
            let _ = tokio::time::timeout(LAST_WORDS, tcp.wait()).await;
            closing.cancel();
        }
        self.disappear().await;
    }

    async fn disappear(&self) {
        let Phases { closing, gone, tcp, unix, own, ending } = &self.phases;
        for token in [ending, closing, gone] {
            token.cancel();
        }
        for tracker in [tcp, unix, own] {
            tracker.close();
            tracker.wait().await;
        }
    }
}

#[cfg(test)]
mod tests;

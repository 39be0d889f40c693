//! Accepting connections and serving each of them to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Phases;
use super::listen::Listeners;
use super::service::{Door, Service};
use crate::auth::Guard;

/// What a connection may buffer of what comes in, which is also the longest head that is taken; and of what goes out to
/// a client that does not read.
const LARGEST_BUFFER: usize = 16 * 1024;
/// How long is waited when the system has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// What a client is told when there is no room for it.
const NO_ROOM: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Accepts connections, as many at a time as there is room for.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) service: Arc<Service>,
    pub(super) guard: Arc<Guard>,
    pub(super) room: Arc<Semaphore>,
    pub(super) head_timeout: Duration,
    pub(super) phases: Phases,
}

/// The tasks that accept, and how to make them stop.
pub(super) struct Accepting {
    pause: CancellationToken,
    tcp: JoinHandle<Option<TcpListener>>,
    unix: JoinHandle<Option<UnixListener>>,
}

impl Accepting {
    /// Stops accepting and returns the listeners, which stay open: who connects now waits. Nothing when the daemon ends.
    pub(super) async fn pause(self) -> Option<Listeners> {
        self.pause.cancel();
        Some(Listeners { tcp: self.tcp.await.ok()??, unix: self.unix.await.ok()?? })
    }
}

/// When a connection ends before its client wants it to.
#[derive(Clone)]
struct Endings {
    /// After the request that is under way.
    soon: CancellationToken,
    /// At once.
    now: CancellationToken,
    /// When it does not send the head of a request for so long.
    head_timeout: Duration,
}

/// Returns how many connections fit.
pub(super) fn room(most_connections: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(most_connections.min(Semaphore::MAX_PERMITS)))
}

impl Acceptor {
    /// Begins to accept: on TCP until the daemon ends, on the Unix socket until it is gone.
    pub(super) fn accept(&self, listeners: Listeners) -> Accepting {
        let pause = CancellationToken::new();
        let tcp = self.clone().serve_tcp(listeners.tcp, pause.clone());
        let unix = self.clone().serve_unix(listeners.unix, pause.clone());
        Accepting { pause, tcp: self.phases.own.spawn(tcp), unix: self.phases.own.spawn(unix) }
    }

    async fn serve_tcp(self, listener: TcpListener, pause: CancellationToken) -> Option<TcpListener> {
        let Phases { ending, closing, tcp: connections, .. } = &self.phases;
        loop {
            let accepted = tokio::select! {
                biased;
                () = ending.cancelled() => return None,
                () = pause.cancelled() => return Some(listener),
                accepted = listener.accept() => accepted,
            };
            let Some((stream, _)) = settle(accepted).await else { continue };
            let Ok(place) = self.room.clone().try_acquire_owned() else {
                refuse(&stream);
                continue;
            };
            let Ok(local) = stream.local_addr() else { continue };
            // Without this, the second small write of an answer waits for the client's acknowledgement.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "could not set TCP_NODELAY");
            }
            let door = Door::Tcp(self.guard.clone(), local);
            let endings = Endings { soon: ending.clone(), now: closing.clone(), head_timeout: self.head_timeout };
            let service = self.service.clone();
            // Made in here: a future that is moved into another one stands twice in it, for as long as it lives.
            connections.spawn(async move {
                serve(stream, service, door, endings).await;
                drop(place);
            });
        }
    }

    /// There is always room on the Unix socket: whoever can reach it owns the daemon.
    async fn serve_unix(self, listener: UnixListener, pause: CancellationToken) -> Option<UnixListener> {
        let Phases { gone, unix: connections, .. } = &self.phases;
        loop {
            let accepted = tokio::select! {
                biased;
                () = gone.cancelled() => return None,
                () = pause.cancelled() => return Some(listener),
                accepted = listener.accept() => accepted,
            };
            let Some((stream, _)) = settle(accepted).await else { continue };
            let endings = Endings { soon: gone.clone(), now: gone.clone(), head_timeout: self.head_timeout };
            connections.spawn(serve(stream, self.service.clone(), Door::Unix, endings));
        }
    }
}

/// Waits a moment when the system has nothing left to accept with, so that the loop does not spin.
async fn settle<T>(accepted: std::io::Result<T>) -> Option<T> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            let is_transient = matches!(error.kind(), std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset);
            if !is_transient {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(EXHAUSTED).await;
            }
            None
        }
    }
}

fn refuse(stream: &TcpStream) {
    // A new connection has room for one line; if not, closing says the same.
    let _ = stream.try_write(NO_ROOM);
}

async fn serve<T>(stream: T, service: Arc<Service>, door: Door, endings: Endings)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, door) = (service.clone(), door.clone());
        // Boxed, so that its state goes when the head of the answer leaves: hyper keeps room for it for as long as the
        // connection lives, idle or with a stream.
        Box::pin(async move { Ok::<_, Infallible>(service.answer(request, &door).await) })
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(endings.head_timeout)
            .max_buf_size(LARGEST_BUFFER)
            .serve_connection(TokioIo::new(stream), answer)
            .with_upgrades()
    );
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = endings.soon.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = endings.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = outcome {
        // Clients go away all the time.
        tracing::debug!(%error, "a connection ended early");
    }
}

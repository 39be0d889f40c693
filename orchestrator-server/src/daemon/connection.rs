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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    service: Arc<Service>,
    room: Arc<Semaphore>,
    head_timeout: Duration,
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

impl Acceptor {
    pub(super) fn new(service: Arc<Service>, most_connections: usize, head_timeout: Duration) -> Self {
        Self { service, room: Arc::new(Semaphore::new(most_connections.min(Semaphore::MAX_PERMITS))), head_timeout }
    }

    /// Serves TCP until `ending`; its connections until `closing`.
    pub(super) async fn serve_tcp(
        self,
        listener: TcpListener,
        guard: Arc<Guard>,
        ending: CancellationToken,
        closing: CancellationToken,
        tasks: TaskTracker,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ending.cancelled() => return,
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
            let door = Door::Tcp(guard.clone(), local);
            let endings = Endings { soon: ending.clone(), now: closing.clone(), head_timeout: self.head_timeout };
            let service = self.service.clone();
            // Made in here: a future that is moved into another one stands twice in it, for as long as it lives.
            tasks.spawn(async move {
                serve(stream, service, door, endings).await;
                drop(place);
            });
        }
    }

    /// Serves the Unix socket. There is always room on it: whoever can reach it owns the daemon.
    pub(super) async fn serve_unix(
        self,
        listener: UnixListener,
        ending: CancellationToken,
        closing: CancellationToken,
        tasks: TaskTracker,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ending.cancelled() => return,
            };
            let Some((stream, _)) = settle(accepted).await else { continue };
            let endings = Endings { soon: ending.clone(), now: closing.clone(), head_timeout: self.head_timeout };
            tasks.spawn(serve(stream, self.service.clone(), Door::Unix, endings));
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

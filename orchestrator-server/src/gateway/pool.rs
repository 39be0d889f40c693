//! Connections to engines, kept open between requests.
//!
//! The lock is held for the length of a push or a pop, once for each request, never across an await.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::attached::{Attached, AttachedBody};

/// A connection to an engine.
pub(super) type Upstream = Attached<TcpStream>;
/// An answer of an engine.
pub(super) type UpstreamBody = AttachedBody<TcpStream>;

/// How long a connection may take to be made: engines are on this machine or near it.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. The engines' own servers close theirs after five seconds.
const IDLE: Duration = Duration::from_millis(4_500);
/// How many idle connections are kept for one engine.
const MOST_IDLE: usize = 128;

/// Idle connections by the address they lead to.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<SocketAddr, Vec<Idle>>>,
}

struct Idle {
    connection: Upstream,
    since: Instant,
}

impl Pool {
    /// Returns an idle connection that is still open, the last used first.
    pub(super) async fn take(&self, address: SocketAddr) -> Option<Upstream> {
        loop {
            let Idle { mut connection, since } = self.lock().get_mut(&address)?.pop()?;
            if since.elapsed() < IDLE && connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Makes a new connection.
    pub(super) async fn connect(&self, address: SocketAddr) -> std::io::Result<Upstream> {
        let stream = match tokio::time::timeout(CONNECTING, TcpStream::connect(address)).await {
            Ok(stream) => stream?,
            Err(_) => return Err(std::io::ErrorKind::TimedOut.into()),
        };
        stream.set_nodelay(true)?;
        Ok(Attached::open(stream))
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn put(&self, address: SocketAddr, connection: Upstream) {
        let mut idle = self.lock();
        let connections = idle.entry(address).or_default();
        if connections.len() < MOST_IDLE {
            connections.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Closes the idle connections to an address. An engine that is asked to end waits for them.
    pub(super) fn close(&self, address: SocketAddr) {
        self.lock().remove(&address);
    }

    /// Closes the connections that were idle for too long.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, connections| {
            connections.retain(|idle| idle.since.elapsed() < IDLE);
            !connections.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Idle>>> {
        // Nothing in here panics half-way, so what a poisoned lock guards is whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The side of the new daemon: it asks the owner of a home for the home, and gets its lock and its listeners.

use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use orchestrator_core::orchestrator::OwnerLock;
use orchestrator_core::{ErrorCode, Paths, Problem};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::wire;
use crate::daemon::listen::Listeners;
use crate::socket_path;

/// How long the owner may take to make way: instances' tasks end, and everything is written down.
const MAKING_WAY: Duration = Duration::from_secs(90);
/// The longest refusal.
const LONGEST_REFUSAL: usize = 1024 * 1024;

/// What a daemon gets from the one it replaces.
#[derive(Debug)]
pub struct Inheritance {
    /// The lock of the home, for [`orchestrator_core::OrchestratorBuilder::lock`].
    pub lock: OwnerLock,
    /// What goes with the home.
    pub estate: Estate,
}

/// The listeners of a home, and the word that is owed for them.
#[derive(Debug)]
pub struct Estate {
    pub(in crate::daemon) listeners: Listeners,
    pub(in crate::daemon) witness: Witness,
}

/// The earlier owner, who waits for a word.
#[derive(Debug)]
pub(in crate::daemon) struct Witness {
    conversation: UnixStream,
}

impl Witness {
    /// Tells it that the home is served from now on.
    pub(in crate::daemon) async fn confirm(self) -> std::io::Result<()> {
        wire::say(&self.conversation, wire::SERVING).await
    }
}

/// Asks the daemon that owns the home to hand it over. Returns nothing where there is none, or where it ended while it
/// was asked: then the home is opened as always.
///
/// # Errors
/// Fails when the daemon refuses, or cannot do it.
pub async fn take_over(paths: &Paths) -> Result<Option<Inheritance>, Problem> {
    let connected = async {
        let reachable = socket_path::reachable(&paths.socket())?;
        UnixStream::connect(reachable.as_path()).await
    };
    let Ok(stream) = connected.await else {
        tracing::info!("no daemon is there to take over from");
        return Ok(None);
    };
    let failed = |error: &dyn std::fmt::Display| {
        Problem::new(ErrorCode::DaemonStartFailed, "could not take over from the daemon that runs").with_cause(error.to_string())
    };
    let Some(conversation) = ask(stream).await? else { return Ok(None) };
    if wire::say(&conversation, wire::READY).await.is_err() {
        return Ok(None);
    }
    let received = match tokio::time::timeout(MAKING_WAY, wire::receive(&conversation)).await {
        Ok(received) => received.map_err(|error| failed(&error))?,
        Err(_) => return Err(failed(&format!("it did not make way within {} s", MAKING_WAY.as_secs()))),
    };
    let Some([lock, unix, tcp]) = received else {
        tracing::info!("the daemon ended while it was asked to make way");
        return Ok(None);
    };
    let listeners = listeners(unix, tcp).map_err(|error| failed(&error))?;
    Ok(Some(Inheritance { lock: lock.into(), estate: Estate { listeners, witness: Witness { conversation } } }))
}

/// Turns a connection to the daemon into the conversation; nothing when the daemon is gone.
async fn ask(stream: UnixStream) -> Result<Option<UnixStream>, Problem> {
    let failed = |error: &dyn std::fmt::Display| {
        Problem::new(ErrorCode::DaemonStartFailed, "could not ask the daemon that runs to make way").with_cause(error.to_string())
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(wire::PATH);
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(wire::PROTOCOL));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let connection = connection.with_upgrades();
    let asking = async {
        let Ok(response) = sender.send_request(request).await else { return Ok(None) };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(&error))?;
        let parts = upgraded.downcast::<TokioIo<UnixStream>>().map_err(|_| failed(&"it is no Unix socket"))?;
        Ok(Some(parts.io.into_inner()))
    };
    // Both at once: the connection ends when it is turned into something else.
    let (outcome, _) = tokio::join!(asking, connection);
    outcome
}

async fn refusal(response: Response<Incoming>) -> Problem {
    let status = response.status();
    let text = Limited::new(response.into_body(), LONGEST_REFUSAL).collect().await.map(http_body_util::Collected::to_bytes);
    let problem = text.ok().and_then(|text| serde_json::from_slice::<Problem>(&text).ok());
    match problem {
        Some(problem) if problem.code != ErrorCode::RouteUnknown => problem,
        _ => {
            let problem = Problem::new(ErrorCode::DaemonBusy, "the daemon that runs cannot hand its home over");
            problem
                .with_cause(format!("it answered {status}; it may be an older version"))
                .with_hint("run `orch daemon stop` and `orch daemon start` instead: servers go on, and clients are away for a moment")
        }
    }
}

fn listeners(unix: OwnedFd, tcp: OwnedFd) -> std::io::Result<Listeners> {
    let unix = std::os::unix::net::UnixListener::from(unix);
    let tcp = std::net::TcpListener::from(tcp);
    // Both are so already; the runtime insists on it.
    unix.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok(Listeners { tcp: TcpListener::from_std(tcp)?, unix: UnixListener::from_std(unix)? })
}

//! Leases across processes: a daemon that was replaced answers what had begun with it, with places that its successor
//! gives it. So the successor's scheduler knows of every request, wherever it is answered.
//!
//! A loan is one answer over the Unix socket: its first line says where the instance is, its proper end says that the
//! instance's server is gone, and the place is given back by closing the connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn, ready};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use orchestrator_core::error::causes_of;
use orchestrator_core::orchestrator::Requester;
use orchestrator_core::runtime::RuntimeCapabilities;
use orchestrator_core::scheduler::policy::ClientId;
use orchestrator_core::{ErrorCode, InstanceName, InstanceSpec, Orchestrator, Problem};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::forward;
use crate::attached::AttachedBody;
use crate::error::Dialect;
use crate::gateway::{Admission, InstanceLease, intake};

/// Where loans are asked for, on the Unix socket only.
pub(super) const PATH: &str = "/api/v1/leases";
/// The longest request for a loan, and the longest answer.
const LARGEST: usize = 1024 * 1024;

/// What is asked for.
#[derive(Serialize, Deserialize)]
struct Wish {
    model: String,
    /// Tells clients apart; 0 for those without a name.
    #[serde(default)]
    client: u64,
    #[serde(default)]
    priority: i32,
}

/// The first line of the answer.
#[derive(Serialize, Deserialize)]
struct Loan {
    instance: InstanceName,
    address: SocketAddr,
    /// Tells its servers apart.
    #[serde(default)]
    server: u64,
    /// As JSON, because the one who reads it may be of another version.
    spec: serde_json::Value,
    capabilities: RuntimeCapabilities,
}

/// Gives a place to an earlier owner of this home, for as long as it keeps the connection.
pub(super) async fn lend<A, B>(admission: &A, request: Request<B>) -> Response<Body>
where
    A: Admission,
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, mut body) = request.into_parts();
    let work = async {
        let body = intake::read(&head.headers, &mut body, LARGEST).await.map_err(intake::IntakeError::into_problem)?;
        let wish: Wish = serde_json::from_slice(&body).map_err(|error| {
            Problem::new(ErrorCode::RequestInvalid, "the request for a lease cannot be read").with_cause(error.to_string())
        })?;
        let lease = admission.admit(&wish.model, Requester { client: ClientId(wish.client), priority: wish.priority }).await?;
        let spec = serde_json::to_value(&**lease.spec()).map_err(|error| unwritable(&error))?;
        let (instance, address) = (lease.instance().clone(), lease.address());
        let loan = Loan { instance, address, server: lease.server(), spec, capabilities: lease.capabilities() };
        let mut line = serde_json::to_vec(&loan).map_err(|error| unwritable(&error))?;
        line.push(b'\n');
        Ok((lease, line))
    };
    let (lease, line) = match work.await {
        Ok(lent) => lent,
        Err(problem) => return Dialect::Control.response(&problem),
    };
    let ended = stream::once(async move { lease.gone().await }).filter_map(|()| ready(None));
    let line = stream::once(ready(Ok::<_, Infallible>(Bytes::from(line))));
    Response::new(Body::from_stream(line.chain(ended)))
}

fn unwritable(error: &serde_json::Error) -> Problem {
    Problem::new(ErrorCode::Internal, "a lease cannot be written down").with_cause(error.to_string())
}

/// A place that another process gave us. Dropping it gives the place back.
pub(crate) struct BorrowedLease {
    instance: InstanceName,
    address: SocketAddr,
    server: u64,
    spec: Arc<InstanceSpec>,
    capabilities: RuntimeCapabilities,
    gone: CancellationToken,
    _held: DropGuard,
}

impl BorrowedLease {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn server(&self) -> u64 {
        self.server
    }

    pub(super) fn instance(&self) -> &InstanceName {
        &self.instance
    }

    pub(super) fn spec(&self) -> &Arc<InstanceSpec> {
        &self.spec
    }

    pub(super) fn capabilities(&self) -> RuntimeCapabilities {
        self.capabilities
    }

    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        self.gone.clone().cancelled_owned()
    }
}

/// Asks whoever owns the home now for a place in the instance that serves `model`.
pub(super) async fn borrow(
    socket: &Path,
    (model, requester): (&str, Requester),
    before: &Orchestrator,
    tasks: &TaskTracker,
) -> Result<BorrowedLease, Problem> {
    let Requester { client, priority } = requester;
    let wish = serde_json::to_vec(&Wish { model: model.to_owned(), client: client.0, priority }).map_err(|error| unwritable(&error))?;
    let mut request = Request::new(Bytes::from(wish));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(PATH);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let response = forward::send(socket, request).await?;
    let is_success = response.status().is_success();
    let mut body = response.into_body();
    if !is_success {
        let text = Limited::new(&mut body, LARGEST).collect().await.map_err(|error| broken(&*error))?.to_bytes();
        return Err(serde_json::from_slice(&text).unwrap_or_else(|error| broken(&error)));
    }
    let loan = read_loan(&mut body).await?;
    let spec = match serde_json::from_value::<InstanceSpec>(loan.spec) {
        Ok(spec) => Arc::new(spec),
        // A newer version wrote it. What we need of it we know.
        Err(error) => {
            tracing::debug!(%error, instance = %loan.instance, "the configuration of a lease is of another version");
            before.watch(&loan.instance)?.borrow().spec.clone()
        }
    };
    let (gone, held) = (CancellationToken::new(), CancellationToken::new());
    tasks.spawn(keep(body, gone.clone(), held.clone()));
    Ok(BorrowedLease {
        instance: loan.instance,
        address: loan.address,
        server: loan.server,
        spec,
        capabilities: loan.capabilities,
        gone,
        _held: held.drop_guard(),
    })
}

/// Keeps the connection until the lease is dropped, and notices the end of the instance's server.
async fn keep(mut body: AttachedBody<UnixStream>, gone: CancellationToken, held: CancellationToken) {
    let ended = async {
        loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                None => return gone.cancel(),
                // The owner of the home ended; the server did not.
                Some(Err(_)) => std::future::pending::<()>().await,
            }
        }
    };
    held.run_until_cancelled(ended).await;
    // The server may end long before the answer that is still read from it: the place is kept until it is dropped.
    held.cancelled().await;
}

async fn read_loan(body: &mut AttachedBody<UnixStream>) -> Result<Loan, Problem> {
    let mut line = BytesMut::new();
    while !line.ends_with(b"\n") && line.len() < LARGEST {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            Some(Ok(frame)) => line.extend(frame.into_data().ok()),
            Some(Err(error)) => return Err(broken(&error)),
            None => return Err(broken(&std::io::Error::from(std::io::ErrorKind::UnexpectedEof))),
        }
    }
    serde_json::from_slice(&line).map_err(|error| broken(&error))
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut problem = Problem::new(ErrorCode::DaemonStopping, "the daemon that took over gave no place for the request");
    problem.causes.push(error.to_string());
    problem.causes.extend(causes_of(error));
    problem.retry_after_seconds = Some(1);
    problem
}

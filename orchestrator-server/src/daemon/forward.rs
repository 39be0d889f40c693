//! Requests that reach a daemon after it was replaced, over connections that clients kept: they are passed on to
//! whoever owns the home now, over its Unix socket. Who may ask was decided before.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Uri};
use orchestrator_core::error::causes_of;
use orchestrator_core::{ErrorCode, Problem};
use tokio::net::UnixStream;

use crate::attached::{Attached, AttachedBody};
use crate::error::Dialect;
use crate::gateway::intake;
use crate::socket_path;

/// How long the connection may take: the other side is on this machine, and may be just starting.
const CONNECTING: Duration = Duration::from_secs(10);
/// What belongs to one connection.
const OF_THE_CONNECTION: [HeaderName; 6] =
    [header::CONNECTION, header::EXPECT, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE];

/// The largest body of a request that is passed on: more than the limits of most homes let a client send.
const LARGEST_BODY: usize = 256 * 1024 * 1024;

/// Passes a request on and its answer back.
pub(super) async fn forward<B>(socket: &Path, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let dialect = Dialect::of(request.uri().path());
    let target = request.uri().path_and_query().cloned();
    let (mut head, mut body) = request.into_parts();
    let body = match intake::read(&head.headers, &mut body, LARGEST_BODY).await {
        Ok(body) => body,
        Err(error) => return dialect.response(&error.into_problem()),
    };
    head.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    strip(&mut head.headers);
    match send(socket, Request::from_parts(head, body)).await {
        Ok(response) => {
            let mut response = response.map(Body::new);
            strip(response.headers_mut());
            response
        }
        Err(problem) => dialect.response(&problem),
    }
}

/// Sends a request to whoever owns the home, over a connection of its own.
pub(super) async fn send(socket: &Path, mut request: Request<Bytes>) -> Result<Response<AttachedBody<UnixStream>>, Problem> {
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    let connected = async {
        let reachable = socket_path::reachable(socket)?;
        UnixStream::connect(reachable.as_path()).await
    };
    let stream = match tokio::time::timeout(CONNECTING, connected).await {
        Ok(stream) => stream.map_err(|error| away(&error))?,
        Err(error) => return Err(away(&error)),
    };
    let mut connection = Attached::open(stream);
    let response = connection.send(request).await.map_err(|error| away(&error))?;
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, AttachedBody::new(connection, body)))
}

fn strip(headers: &mut HeaderMap) {
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

fn away(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut problem = Problem::new(ErrorCode::DaemonStopping, "the daemon that took over does not answer");
    problem.causes.push(error.to_string());
    problem.causes.extend(causes_of(error));
    problem.retry_after_seconds = Some(1);
    problem
}

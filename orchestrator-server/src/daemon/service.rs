//! What happens to every request before and after it is answered: its id, who may ask, which part answers, and what
//! the answer lets browsers do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use orchestrator_core::{ErrorCode, Problem};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::Instrument;

use super::handover::{self, Call, wire};
use super::seat::{Owned, Seat, Settled};
use super::{forward, loan};
use crate::auth::{Admitted, Guard, allow_reading, allow_sending};
use crate::error::Dialect;
use crate::gateway::{Gateway, INSTANCE_HEADER};
use crate::request_id::{self, REQUEST_ID, RequestIds};

const CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// The way a request came in by.
#[derive(Clone)]
pub(super) enum Door {
    /// The Unix socket: whoever can open it owns the home.
    Unix,
    /// The TCP port, at the address a client connected to.
    Tcp(Arc<Guard>, SocketAddr),
}

impl Door {
    fn check(&self, head: &http::request::Parts) -> Result<Admitted, Problem> {
        match self {
            Self::Unix => Ok(Admitted::Request { origin: None }),
            Self::Tcp(guard, local) => guard.check(head, *local).map_err(crate::auth::Refusal::into_problem),
        }
    }
}

/// Answers requests.
pub(super) struct Service {
    gateway: Gateway<Seat>,
    seat: Seat,
    ending: CancellationToken,
    /// To the keeper of the home.
    calls: mpsc::Sender<Call>,
    ids: RequestIds,
}

impl Service {
    pub(super) fn new(gateway: Gateway<Seat>, seat: Seat, ending: CancellationToken, calls: mpsc::Sender<Call>) -> Self {
        Self { gateway, seat, ending, calls, ids: RequestIds::new() }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, mut request: Request<Incoming>, door: &Door) -> Response<Body> {
        let id = self.ids.give(request.headers_mut());
        let request_id = request_id::shown(Some(&id));
        let span = tracing::debug_span!("request", request_id, method = %request.method(), path = request.uri().path());
        let started = Instant::now();
        // In one expression: a future that is named and then moved would stand twice in the state of every connection.
        let mut response = self.admitted(request, door).instrument(span.clone()).await;
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        headers.insert(CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.seat.is_retired() {
            // The client's next connection leads to our successor. Closing an idle one instead would hit requests
            // that are just being sent.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let instance = request_id::shown(response.headers().get(INSTANCE_HEADER));
        span.in_scope(|| {
            tracing::debug!(instance, status = response.status().as_u16(), micros = started.elapsed().as_micros(), "answered");
        });
        response
    }

    async fn admitted(&self, request: Request<Incoming>, door: &Door) -> Response<Body> {
        let dialect = Dialect::of(request.uri().path());
        let (head, body) = request.into_parts();
        let origin = match door.check(&head) {
            Ok(Admitted::Request { origin }) => origin,
            Ok(Admitted::Preflight { origin }) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                allow_sending(response.headers_mut(), origin);
                return response;
            }
            Err(problem) => return dialect.response(&problem),
        };
        let request = Request::from_parts(head, body);
        let mut response = if self.ending.is_cancelled() && !is_about_us(&request) {
            let mut problem = Problem::new(ErrorCode::DaemonStopping, "the daemon is shutting down");
            problem.retry_after_seconds = Some(5);
            dialect.response(&problem)
        } else {
            match self.seat.settled().await {
                Settled::Retired => forward::forward(self.seat.socket(), request).await,
                Settled::Owning(_) if dialect == Dialect::OpenAi => self.gateway.handle(request).await,
                Settled::Owning(owned) => match (door, request.uri().path()) {
                    (Door::Unix, wire::PATH) => self.call_keeper(request).await,
                    (Door::Unix, loan::PATH) => loan::lend(&self.seat, request).await,
                    _ => self.control(owned, request).await,
                },
            }
        };
        if let Some(origin) = origin {
            allow_reading(response.headers_mut(), origin);
        }
        response
    }
}

impl Service {
    /// Answers a request of the control API; where the home changed hands before it was done, whoever has it now does.
    async fn control(&self, mut owned: Arc<Owned>, request: Request<Incoming>) -> Response<Body> {
        // What has a body is answered at once, and is not asked twice.
        let again = request.body().is_end_stream().then(|| request_without_body(&request));
        let mut request = request.map(Body::new);
        loop {
            request.extensions_mut().insert(self.seat.clone());
            let Ok(response) = owned.control.clone().oneshot(request).await;
            let is_cut_short = response.extensions().get() == Some(&ErrorCode::DaemonStopping) && !self.seat.is_owning(&owned);
            let Some(head) = again.as_ref().filter(|_| is_cut_short) else { return response };
            request = request_without_body(head);
            match self.seat.settled().await {
                Settled::Owning(now) => owned = now,
                Settled::Retired => return forward::forward(self.seat.socket(), request).await,
            }
        }
    }

    /// Lets whoever asks become the successor, where the keeper agrees.
    async fn call_keeper(&self, mut request: Request<Incoming>) -> Response<Body> {
        let refuse = |problem: &Problem| Dialect::Control.response(problem);
        if request.method() != Method::POST || request.headers().get(UPGRADE).is_none_or(|value| value != wire::PROTOCOL) {
            let problem = Problem::new(ErrorCode::RequestInvalid, "the home is handed over to a daemon of the same protocol only");
            return refuse(&problem.with_cause(format!("ours is `{}`", wire::PROTOCOL)));
        }
        let (answer, answered) = oneshot::channel();
        match self.calls.try_send(Call { upgrade: hyper::upgrade::on(&mut request), answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return refuse(&handover::occupied()),
            Err(TrySendError::Closed(_)) => return refuse(&handover::immovable()),
        }
        match answered.await {
            Ok(Ok(())) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                response.headers_mut().insert(UPGRADE, HeaderValue::from_static(wire::PROTOCOL));
                response
            }
            Ok(Err(problem)) => refuse(&problem),
            Err(_) => refuse(&handover::occupied()),
        }
    }
}

fn request_without_body<B>(request: &Request<B>) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// What is answered until the last moment.
fn is_about_us(request: &Request<Incoming>) -> bool {
    request.method() == Method::GET && matches!(request.uri().path(), "/health" | "/api/v1/status")
}

//! What happens to every request before and after it is answered: its id, who may ask, which part answers, and what
//! the answer lets browsers do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use orchestrator_core::{ErrorCode, Orchestrator, Problem};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::Instrument;

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
    control: Router,
    gateway: Gateway<Orchestrator>,
    ending: CancellationToken,
    ids: RequestIds,
}

impl Service {
    pub(super) fn new(control: Router, gateway: Gateway<Orchestrator>, ending: CancellationToken) -> Self {
        Self { control, gateway, ending, ids: RequestIds::new() }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, mut request: Request<Incoming>, door: &Door) -> Response<Body> {
        let id = self.ids.give(request.headers_mut());
        let request_id = request_id::shown(Some(&id));
        let span = tracing::debug_span!("request", request_id, method = %request.method(), path = request.uri().path());
        let started = Instant::now();
        // In one expression: a future that is named and then moved would stand twice in the state of every connection.
        let mut response = self.admitted(request, door).instrument(span.clone()).await;
        response.headers_mut().insert(REQUEST_ID, id);
        response.headers_mut().insert(CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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
            match dialect {
                Dialect::OpenAi => self.gateway.handle(request).await,
                Dialect::Control => {
                    let Ok(response) = self.control.clone().oneshot(request.map(Body::new)).await;
                    response
                }
            }
        };
        if let Some(origin) = origin {
            allow_reading(response.headers_mut(), origin);
        }
        response
    }
}

/// What is answered until the last moment.
fn is_about_us(request: &Request<Incoming>) -> bool {
    request.method() == Method::GET && matches!(request.uri().path(), "/health" | "/api/v1/status")
}

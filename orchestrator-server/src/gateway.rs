//! The endpoint that clients talk to: finds the model's name in a request, has the scheduler admit it, and passes the
//! bytes to the instance and back, unbuffered.
//!
//! ```text
//! body ─► intake (limit, progress) ─► routing (model) ─► admission (lease) ─► proxy ─► relay ─► client
//! ```
//!
//! Owns the connections to engines, what is counted of requests (`ticket`, `stations`) and the circuits (`circuit` is
//! the policy, `breaker` performs it). Knows instances only through [`Admission`]; no lock, database or allocation of
//! its own for each chunk.

mod admission;
mod breaker;
mod circuit;
mod headers;
pub(crate) mod intake;
mod openai;
mod pool;
mod proxy;
mod relay;
mod requester;
mod routing;
mod stations;
mod ticket;
mod tools;
mod usage;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::ALLOW;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response};
use orchestrator_core::config::daemon::LimitsConfig;
use orchestrator_core::event::{Event, EventDraft, EventKind, Timestamp};
use orchestrator_core::orchestrator::Requester;
use orchestrator_core::runtime::RuntimeCapabilities;
use orchestrator_core::{ErrorCode, InstanceName, InstanceSpec, Problem};
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use crate::api::ServedModel;
use crate::error::Dialect;
use crate::metrics::Route;
use intake::IntakeError;
use proxy::{Forward, Proxy};
use ticket::Ticket;

pub(crate) use circuit::{Position, ServerMark};
pub(crate) use proxy::INSTANCE_HEADER;
pub(crate) use stations::{Station, Stations};
pub(crate) use usage::Tokens;

/// Who lets requests in: the facade of the core, or a stand-in.
pub(crate) trait Admission: Clone + Send + Sync + 'static {
    /// A place in an instance.
    type Lease: InstanceLease;

    /// Waits for a place in an instance that serves `model`, starting it where it does not run.
    fn admit(&self, model: &str, requester: Requester) -> impl Future<Output = Result<Self::Lease, Problem>> + Send;

    /// Prefers other instances of the same model for so long; no longer, when that is no time at all.
    fn shun(&self, instance: &InstanceName, pause: Duration);

    /// Records what happened to a request.
    fn record(&self, event: EventDraft);

    /// Lists what is served.
    fn served(&self) -> Vec<ServedModel>;
}

/// A place in an instance, held until it is dropped.
pub(crate) trait InstanceLease: Send + Sync + 'static {
    /// Where the instance's server listens.
    fn address(&self) -> SocketAddr;
    /// Tells its server from the next one of the same instance.
    fn server(&self) -> ServerMark;
    /// The instance.
    fn instance(&self) -> &InstanceName;
    /// Its configuration.
    fn spec(&self) -> &Arc<InstanceSpec>;
    /// What its engine is able to do.
    fn capabilities(&self) -> RuntimeCapabilities;
    /// Resolves when that server has ended.
    fn gone(&self) -> impl Future<Output = ()> + Send;
}

/// The routes that name a model in their body and are passed on.
const MODEL_ROUTES: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];

/// The gateway.
#[derive(Clone)]
pub(crate) struct Gateway<A> {
    admission: A,
    proxy: Arc<Proxy>,
    largest_body: usize,
    /// In seconds since 1970: what clients are told as the time their models were made.
    started: i64,
    tasks: TaskTracker,
    pace: tools::Pace,
}

impl<A: Admission> Gateway<A> {
    #[cfg(test)]
    pub(crate) fn new(admission: A, limits: &LimitsConfig, tasks: TaskTracker) -> Self {
        Self::counting(admission, limits, tasks, Arc::default())
    }

    /// Makes a gateway that keeps what it counts in `stations`.
    pub(crate) fn counting(admission: A, limits: &LimitsConfig, tasks: TaskTracker, stations: Arc<Stations>) -> Self {
        let proxy = Proxy { pool: Arc::default(), stations, first_byte: limits.first_byte.get() };
        let largest_body = usize::try_from(limits.max_body_mb).unwrap_or(usize::MAX).saturating_mul(1024 * 1024);
        let started = Timestamp::now().as_millis() / 1_000;
        Self { admission, proxy: Arc::new(proxy), largest_body, started, tasks, pace: tools::Pace::default() }
    }

    /// Returns what is kept of each instance.
    pub(crate) fn stations(&self) -> &Arc<Stations> {
        &self.proxy.stations
    }

    /// Answers a request below `/v1`.
    pub(crate) async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut ticket = Some(Ticket::begin(self.stations(), Route::of(request.uri().path())));
        let response = self.answer(request, &mut ticket).await;
        // A ticket that is still here belongs to an answer that is complete.
        if let Some(mut ticket) = ticket {
            ticket.answered(response.status());
            ticket.complete();
        }
        response
    }

    async fn answer<B>(&self, request: Request<B>, ticket: &mut Option<Ticket>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let method = request.method();
        let path = request.uri().path();
        let outcome = if MODEL_ROUTES.contains(&path) {
            if method != Method::POST {
                return wrong_method(path, "POST");
            }
            self.model_request(request, ticket).await
        } else if let Some(rest) = path.strip_prefix("/v1/models") {
            match (rest.strip_prefix('/'), rest) {
                _ if method != Method::GET => return wrong_method(path, "GET"),
                (Some(id), _) if !id.is_empty() => openai::model(&self.admission.served(), self.started, id),
                (_, "" | "/") => openai::models(&self.admission.served(), self.started),
                _ => Err(unknown_route(path)),
            }
        } else {
            Err(unknown_route(path))
        };
        outcome.unwrap_or_else(|problem| Dialect::OpenAi.response(&problem))
    }

    async fn model_request<B>(&self, request: Request<B>, ticket: &mut Option<Ticket>) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, mut incoming) = request.into_parts();
        let body = match intake::read(&head.headers, &mut incoming, self.largest_body).await {
            Ok(body) => body,
            Err(error) => {
                if matches!(error, IntakeError::TooLarge { .. }) {
                    self.tasks.spawn(intake::drain(incoming));
                }
                return Err(error.into_problem());
            }
        };
        let asked = routing::head_of(&body)?;
        let offers_tools = asked.offers_tools && head.uri.path() == MODEL_ROUTES[0];
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let requester = requester::of(&head.headers)?;
        let forward = Forward { method: head.method, path, headers: head.headers, body: body.clone(), is_final: false, requester, ticket };
        if offers_tools {
            // Boxed: its state is as large as that of all other requests together, and would be part of theirs.
            return Box::pin(self.tool_request(&asked.model, forward)).await;
        }
        self.proxy.forward(&self.admission, &asked.model, None, forward).await
    }

    /// Closes idle connections to engines that are being ended: most wait for those before they go.
    pub(crate) async fn let_go(self, mut events: broadcast::Receiver<Event>) {
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            let said = |key: &str| event.data.get(key).and_then(serde_json::Value::as_str);
            if let (EventKind::InstanceState, Some("stopping"), Some(address)) = (event.kind, said("to"), said("address"))
                && let Ok(address) = address.parse()
            {
                self.proxy.pool.close(address);
            }
        }
    }

    /// Closes connections to engines that nobody used for a while, again and again.
    pub(crate) async fn keep_tidy(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            self.proxy.pool.sweep();
        }
    }
}

fn unknown_route(path: &str) -> Problem {
    let path: String = path.chars().take(200).flat_map(char::escape_debug).collect();
    let problem = Problem::new(ErrorCode::RouteUnknown, format!("there is no route `{path}`"));
    problem.with_hint(format!("the gateway serves `/v1/models`, `{}`", MODEL_ROUTES.join("`, `")))
}

fn wrong_method(path: &str, allowed: &'static str) -> Response<Body> {
    let mut problem = Problem::new(ErrorCode::RouteUnknown, format!("`{path}` takes {allowed} only"));
    problem.status = http::StatusCode::METHOD_NOT_ALLOWED.as_u16();
    let mut response = Dialect::OpenAi.response(&problem);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

#[cfg(test)]
mod tests;

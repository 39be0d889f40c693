//! One request to an engine and its answer: connection, time limits, the circuit, the one retry.

mod error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use orchestrator_core::error::causes_of;
use orchestrator_core::orchestrator::Requester;
use orchestrator_core::{InstanceName, Problem};
use tokio::time::Instant;

use super::breaker::{self, Pass};
use super::circuit::{Change, Refused, TRIAL_WAIT};
use super::pool::{Pool, Upstream, UpstreamBody};
use super::relay::{Gone, LAST_WORDS, Relay, RelayOrder};
use super::stations::{Station, Stations};
use super::ticket::Ticket;
use super::usage::tokens_in;
use super::{Admission, InstanceLease, headers, routing};
use crate::attached::{Framing, WireError};
use crate::request_id::{self, REQUEST_ID};
use error::ForwardError;

/// Tells the client which instance answered.
pub(crate) const INSTANCE_HEADER: HeaderName = HeaderName::from_static("x-orchestrator-instance");
/// An answer of a known length up to this is read whole before it is passed on: then an engine that dies on the
/// way is an error with a status, and the request can be repeated. It is no use to anyone before its end anyway.
const LARGEST_WHOLE: u64 = 256 * 1024;
/// How long the end of an engine is waited for after its connection failed, before the request is repeated.
const SEEING_THE_END: Duration = Duration::from_millis(500);
/// How long an engine may take to be started again before a request that it failed is given up.
const COMING_BACK: Duration = Duration::from_secs(10);
/// The shortest wait between two looks at whether it was.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
/// The answers that count as a failure of the engine. Others with 500 and more say what it is not able to do.
const FAILING: [StatusCode; 4] =
    [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

/// A request as it goes to an engine.
pub(super) struct Forward<'t> {
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the body holds the changes of the instance's configuration already.
    pub(super) is_final: bool,
    /// Who sent it.
    pub(super) requester: Requester,
    /// The client's request, where this is the one; it goes with the body of the answer.
    pub(super) ticket: &'t mut Option<Ticket>,
}

impl Forward<'_> {
    /// The request's id, for the log.
    fn id(&self) -> Option<HeaderValue> {
        self.headers.get(REQUEST_ID).cloned()
    }
}

/// The head of an engine's answer, and where the rest of it comes from.
struct EngineAnswer {
    head: http::response::Parts,
    connection: Upstream,
    body: Framing,
}

/// An answer that is about to be passed on.
struct Begun {
    head: http::response::Parts,
    body: BegunBody,
}

enum BegunBody {
    /// It is complete.
    Whole(Bytes),
    /// It comes.
    Coming { upstream: UpstreamBody, is_event_stream: bool },
}

/// What the proxy needs besides the request.
pub(super) struct Proxy {
    pub(super) pool: Arc<Pool>,
    pub(super) stations: Arc<Stations>,
    /// How long an engine may take to answer the head of a response.
    pub(super) first_byte: Duration,
}

impl Proxy {
    /// Passes a request on to the model's instance. It is sent a second time, once, when the engine failed before
    /// anything of its answer was passed on. `first` is a place that was taken already.
    pub(super) async fn forward<A: Admission>(
        &self,
        admission: &A,
        model: &str,
        mut first: Option<A::Lease>,
        mut forward: Forward<'_>,
    ) -> Result<Response<Body>, Problem> {
        headers::for_engine(&mut forward.headers);
        let original = forward.body.clone();
        let mut failed: Option<ForwardError> = None;
        let mut was_refused = false;
        loop {
            let lease = match first.take() {
                Some(lease) => lease,
                None if failed.is_some() => readmit(admission, model, forward.requester).await?,
                None => admission.admit(model, forward.requester).await?,
            };
            let station = self.stations.of(lease.instance());
            if let Some(ticket) = forward.ticket.as_mut() {
                ticket.place(station);
            }
            let pass = match admit(admission, station, &lease) {
                Ok(pass) => pass,
                // It is shunned now: where another instance serves the same, the next place is there.
                Err(_) if !std::mem::replace(&mut was_refused, true) => continue,
                Err(refused) => {
                    station.meters.refusals.add(1);
                    // What the engine did is told rather than what follows from it.
                    return Err(failed.map_or_else(|| breaker::problem(lease.instance(), refused), ForwardError::into_problem));
                }
            };
            if failed.is_some() {
                station.meters.retries.add(1);
            }
            let changes = &lease.spec().request;
            forward.body = if forward.is_final || changes.is_empty() { original.clone() } else { routing::rewrite(&original, changes)? };
            let outcome = match self.attempt(&lease, &forward).await {
                Ok(answer) => self.begin(&lease, answer).await,
                Err(error) => Err(error),
            };
            judge(admission, station, (&lease, pass), &outcome);
            let error = match outcome {
                Ok(begun) => return Ok(self.pass_on(lease, station, begun, &mut forward)),
                Err(error) => error,
            };
            let (id, instance) = (forward.id(), lease.instance());
            let id = request_id::shown(id.as_ref());
            if failed.is_some() || !error.may_repeat() {
                tracing::warn!(request_id = id, %instance, %error, causes = ?causes_of(&error), "a request failed");
                return Err(error.into_problem());
            }
            tracing::debug!(request_id = id, %instance, %error, causes = ?causes_of(&error), "the request is sent once more");
            // Whoever watches the engine should know of its end before we ask for it again.
            let _ = tokio::time::timeout(SEEING_THE_END, lease.gone()).await;
            failed = Some(error);
        }
    }

    /// Sends the request over an idle connection, or over a new one where there is none or it turns out to be closed.
    async fn attempt<L: InstanceLease>(&self, lease: &L, forward: &Forward<'_>) -> Result<EngineAnswer, ForwardError> {
        if let Some(connection) = self.pool.take(lease.address()).await {
            match self.exchange(lease, connection, forward).await {
                Err(ForwardError::Broken { .. }) => {}
                outcome => return outcome,
            }
        }
        let connection = self.pool.connect(lease.address()).await;
        let refused = |source: std::io::Error| ForwardError::Connect {
            instance: lease.instance().clone(),
            address: lease.address(),
            source: source.into(),
        };
        self.exchange(lease, connection.map_err(refused)?, forward).await
    }

    /// Sends the request and waits for the head of the answer, but not longer than the engine lives.
    async fn exchange<L: InstanceLease>(
        &self,
        lease: &L,
        mut connection: Upstream,
        forward: &Forward<'_>,
    ) -> Result<EngineAnswer, ForwardError> {
        let instance = || lease.instance().clone();
        let request = write(lease.address(), forward).map_err(|source| ForwardError::Request { instance: instance(), source })?;
        let ended = async {
            lease.gone().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let answer = tokio::select! {
            biased;
            answer = tokio::time::timeout(self.first_byte, connection.send(request)) => answer,
            () = ended => return Err(ForwardError::Broken { instance: instance(), source: "its server ended".into() }),
        };
        match answer {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                Ok(EngineAnswer { head, connection, body })
            }
            Ok(Err(source)) => Err(ForwardError::Broken { instance: instance(), source: source.into() }),
            Err(_) => Err(ForwardError::TimedOut { instance: instance(), after: self.first_byte }),
        }
    }

    /// Reads on in the engine's answer until it can be passed on.
    async fn begin<L: InstanceLease>(&self, lease: &L, answer: EngineAnswer) -> Result<Begun, ForwardError> {
        let EngineAnswer { head, connection, body } = answer;
        let is_event_stream = head.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let is_known_length = head.headers.contains_key(CONTENT_LENGTH);
        let upstream = UpstreamBody::new(connection, body);
        let is_whole = is_known_length && !is_event_stream && upstream.size_hint().upper().is_some_and(|size| size <= LARGEST_WHOLE);
        let body = if is_whole {
            BegunBody::Whole(self.whole(lease, upstream, lease.spec().server.timeout.get()).await?)
        } else {
            BegunBody::Coming { upstream, is_event_stream }
        };
        Ok(Begun { head, body })
    }

    /// Turns the engine's answer into ours.
    fn pass_on<L: InstanceLease>(&self, lease: L, station: &Arc<Station>, begun: Begun, forward: &mut Forward<'_>) -> Response<Body> {
        let Begun { mut head, body } = begun;
        headers::for_client(&mut head.headers);
        if let Ok(value) = HeaderValue::from_str(lease.instance().as_str()) {
            head.headers.insert(INSTANCE_HEADER, value);
        }
        let body = match body {
            BegunBody::Whole(bytes) => {
                station.meters.count(tokens_in(&bytes));
                Body::from(bytes)
            }
            BegunBody::Coming { upstream, is_event_stream } => {
                let mut ticket = forward.ticket.take();
                if let Some(ticket) = &mut ticket {
                    ticket.answered(head.status);
                }
                let order = RelayOrder {
                    instance: lease.instance().clone(),
                    address: lease.address(),
                    is_event_stream,
                    silence: lease.spec().server.timeout.get(),
                    station: Arc::clone(station),
                    ticket,
                    request_id: forward.id(),
                    gone: std::iter::once(Box::pin(async move { lease.gone().await }) as _).collect::<Gone>(),
                };
                Body::new(Relay::new(order, Arc::clone(&self.pool), upstream))
            }
        };
        Response::from_parts(head, body)
    }

    /// Reads a short answer to its end.
    async fn whole<L: InstanceLease>(&self, lease: &L, mut upstream: UpstreamBody, limit: Duration) -> Result<Bytes, ForwardError> {
        let instance = || lease.instance().clone();
        match tokio::time::timeout(limit, gathered(&mut upstream)).await {
            Ok(Ok(body)) => {
                self.pool.put(lease.address(), upstream.into_connection());
                Ok(body)
            }
            Ok(Err(source)) => Err(ForwardError::Broken { instance: instance(), source: source.into() }),
            Err(_) => Err(ForwardError::TimedOut { instance: instance(), after: limit }),
        }
    }
}

/// Reads a body of a known length. The usual one comes in one piece and is taken as it is; of one that drips, the
/// pieces are not kept beside the whole.
async fn gathered(upstream: &mut UpstreamBody) -> Result<Bytes, WireError> {
    let length = upstream.size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = upstream.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(length);
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Asks the instance's circuit to let a request through. Where it does not, or lets one through only to try, others are
/// preferred meanwhile.
fn admit<'a, A: Admission>(admission: &A, station: &'a Station, lease: &A::Lease) -> Result<Pass<'a>, Refused> {
    let (pass, change) = station.breaker.admit(|| lease.server());
    tell(admission, station, lease.instance(), change, "");
    match &pass {
        Ok(pass) if pass.is_trial() => admission.shun(lease.instance(), TRIAL_WAIT),
        Ok(_) => {}
        Err(refused) => admission.shun(lease.instance(), refused.wait),
    }
    pass
}

/// Tells the instance's circuit how a request went.
fn judge<A: Admission>(admission: &A, station: &Station, let_through: (&A::Lease, Pass<'_>), outcome: &Result<Begun, ForwardError>) {
    let (lease, pass) = let_through;
    let cause = match outcome {
        Ok(begun) if FAILING.contains(&begun.head.status) => format!("it answered {}", begun.head.status.as_u16()),
        Ok(_) => {
            let change = pass.succeeded(|| lease.server());
            return tell(admission, station, lease.instance(), change, "");
        }
        // Ours to mend, and nothing was asked of the engine.
        Err(ForwardError::Request { .. }) => return,
        Err(error) => error.cause(),
    };
    let change = pass.failed(lease.server(), &cause);
    tell(admission, station, lease.instance(), change, &cause);
}

fn tell<A: Admission>(admission: &A, station: &Station, instance: &InstanceName, change: Option<Change>, cause: &str) {
    let Some(change) = change else { return };
    match &change {
        Change::Opened { pause, .. } => {
            station.meters.openings.add(1);
            admission.shun(instance, *pause);
        }
        Change::Closed { .. } => admission.shun(instance, Duration::ZERO),
    }
    if let Some(event) = breaker::event(instance, &change, cause) {
        admission.record(event);
    }
}

/// Waits for a place in an instance that has just failed, and gives it a while to be started again.
async fn readmit<A: Admission>(admission: &A, model: &str, requester: Requester) -> Result<A::Lease, Problem> {
    let deadline = Instant::now() + COMING_BACK;
    loop {
        let problem = match admission.admit(model, requester).await {
            Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE.as_u16() => problem,
            outcome => return outcome,
        };
        // Whoever knows it more exactly than in whole seconds says so.
        let wait = problem.retry_after.or_else(|| problem.retry_after_seconds.map(Duration::from_secs));
        match wait.map(|wait| Instant::now() + wait.max(SHORTEST_WAIT)) {
            Some(next) if next <= deadline => tokio::time::sleep_until(next).await,
            _ => return Err(problem),
        }
    }
}

/// Writes the request for one attempt.
fn write(address: SocketAddr, forward: &Forward<'_>) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::new(forward.body.clone());
    *request.method_mut() = forward.method.clone();
    *request.uri_mut() = Uri::from(forward.path.clone());
    *request.headers_mut() = forward.headers.clone();
    let host = HeaderValue::try_from(address.to_string())?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

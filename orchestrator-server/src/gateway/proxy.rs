//! One request to an engine and its answer: connection, time limits, the one retry, and what a failure is called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use orchestrator_core::error::{Coded, causes_of};
use orchestrator_core::orchestrator::Requester;
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use tokio::time::Instant;

use super::pool::{Pool, Upstream, UpstreamBody};
use super::relay::{Gone, LAST_WORDS, Relay, RelayOrder};
use super::{Admission, InstanceLease, headers, routing};

/// Tells the client which instance answered.
pub(super) const INSTANCE_HEADER: HeaderName = HeaderName::from_static("x-orchestrator-instance");
/// An answer of a known length up to this is read whole before it is passed on: then an engine that dies on the
/// way is an error with a status, and the request can be repeated. It is no use to anyone before its end anyway.
const LARGEST_WHOLE: u64 = 1024 * 1024;
/// How long the end of an engine is waited for after its connection failed, before the request is repeated.
const SEEING_THE_END: Duration = Duration::from_millis(500);
/// How long an engine may take to be started again before a request that it failed is given up.
const COMING_BACK: Duration = Duration::from_secs(10);
/// What a client is told when an engine is away and nobody knows for how long.
const RETRY_AFTER_SECONDS: u64 = 2;

/// A request as it goes to an engine.
pub(super) struct Forward {
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the body holds the changes of the instance's configuration already.
    pub(super) is_final: bool,
    /// Who sent it.
    pub(super) requester: Requester,
}

/// Why an engine gave no answer. Nothing of one has been passed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ForwardError {
    /// It did not take the connection: the request never reached it.
    #[error("`{instance}` takes no connection at {address}")]
    Connect {
        /// The instance.
        instance: InstanceName,
        /// Where it should listen.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It broke the connection, or the protocol, before its answer was whole.
    #[error("`{instance}` broke off before it had answered")]
    Broken {
        /// The instance.
        instance: InstanceName,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It did not answer in time.
    #[error("`{instance}` did not answer within {after:?}")]
    TimedOut {
        /// The instance.
        instance: InstanceName,
        /// How long was waited.
        after: Duration,
    },
    /// Our own request cannot be written.
    #[error("the request to `{instance}` cannot be written")]
    Request {
        /// The instance.
        instance: InstanceName,
        /// Why not.
        #[source]
        source: http::Error,
    },
}

impl Coded for ForwardError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Connect { .. } => ErrorCode::InstanceUnavailable,
            Self::Broken { .. } => ErrorCode::UpstreamFailed,
            Self::TimedOut { .. } => ErrorCode::UpstreamTimeout,
            Self::Request { .. } => ErrorCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { instance, .. } | Self::Broken { instance, .. } => {
                Some(format!("`orch describe {instance}` shows what happened, `orch logs {instance}` what it said"))
            }
            Self::TimedOut { .. } => Some("ask for less, or raise `limits.first_byte` in the daemon's `config.yaml`".to_owned()),
            Self::Request { .. } => None,
        }
    }
}

impl ForwardError {
    fn may_repeat(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Broken { .. })
    }

    fn into_problem(self) -> Problem {
        let mut problem = Problem::from_error(&self);
        if matches!(self, Self::Connect { .. }) {
            problem.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        }
        problem
    }
}

/// The head of an engine's answer, and where the rest of it comes from.
struct EngineAnswer {
    head: http::response::Parts,
    connection: Upstream,
    body: Incoming,
}

/// What the proxy needs besides the request.
pub(super) struct Proxy {
    pub(super) pool: Arc<Pool>,
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
        mut forward: Forward,
    ) -> Result<Response<Body>, Problem> {
        headers::for_engine(&mut forward.headers);
        let original = forward.body.clone();
        let mut is_repeat = false;
        loop {
            let lease = match first.take() {
                Some(lease) => lease,
                None if is_repeat => readmit(admission, model, forward.requester).await?,
                None => admission.admit(model, forward.requester).await?,
            };
            let changes = &lease.spec().request;
            forward.body = if forward.is_final || changes.is_empty() { original.clone() } else { routing::rewrite(&original, changes)? };
            let error = match self.attempt(&lease, &forward).await {
                Ok(answer) => match self.answer(lease, answer).await {
                    Ok(response) => return Ok(response),
                    Err(error) => error,
                },
                Err(error) => {
                    if !is_repeat && error.may_repeat() {
                        // Whoever watches the engine should know of its end before we ask for it again.
                        let _ = tokio::time::timeout(SEEING_THE_END, lease.gone()).await;
                    }
                    error
                }
            };
            if is_repeat || !error.may_repeat() {
                return Err(error.into_problem());
            }
            tracing::debug!(model, error = %error, causes = ?causes_of(&error), "the request is sent once more");
            is_repeat = true;
        }
    }

    /// Sends the request over an idle connection, or over a new one where there is none or it turns out to be closed.
    async fn attempt<L: InstanceLease>(&self, lease: &L, forward: &Forward) -> Result<EngineAnswer, ForwardError> {
        if let Some(connection) = self.pool.take(lease.address()).await {
            match self.exchange(lease, connection, forward).await {
                Err(ForwardError::Broken { .. }) => {}
                outcome => return outcome,
            }
        }
        let connection = self.pool.connect(lease.address()).await;
        let refused = |source| ForwardError::Connect { instance: lease.instance().clone(), address: lease.address(), source };
        self.exchange(lease, connection.map_err(refused)?, forward).await
    }

    /// Sends the request and waits for the head of the answer, but not longer than the engine lives.
    async fn exchange<L: InstanceLease>(
        &self,
        lease: &L,
        mut connection: Upstream,
        forward: &Forward,
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

    /// Turns the engine's answer into ours.
    async fn answer<L: InstanceLease>(&self, lease: L, answer: EngineAnswer) -> Result<Response<Body>, ForwardError> {
        let EngineAnswer { mut head, connection, body } = answer;
        let instance = lease.instance().clone();
        let address = lease.address();
        let is_event_stream = head.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let silence = lease.spec().server.timeout.get();
        let is_known_length = head.headers.contains_key(CONTENT_LENGTH);
        headers::for_client(&mut head.headers);
        if let Ok(value) = HeaderValue::from_str(instance.as_str()) {
            head.headers.insert(INSTANCE_HEADER, value);
        }
        let upstream = UpstreamBody::new(connection, body);
        let is_whole = is_known_length && !is_event_stream && upstream.size_hint().upper().is_some_and(|size| size <= LARGEST_WHOLE);
        let body = if is_whole {
            Body::from(self.whole(&lease, upstream, silence).await?)
        } else {
            let gone: Gone = std::iter::once(Box::pin(async move { lease.gone().await }) as _).collect();
            Body::new(Relay::new(RelayOrder { instance, address, is_event_stream, silence, gone }, Arc::clone(&self.pool), upstream))
        };
        Ok(Response::from_parts(head, body))
    }

    /// Reads a short answer to its end.
    async fn whole<L: InstanceLease>(&self, lease: &L, mut upstream: UpstreamBody, limit: Duration) -> Result<Bytes, ForwardError> {
        let instance = || lease.instance().clone();
        let largest = usize::try_from(LARGEST_WHOLE).unwrap_or(usize::MAX);
        let reading = Limited::new(&mut upstream, largest).collect();
        match tokio::time::timeout(limit, reading).await {
            Ok(Ok(body)) => {
                self.pool.put(lease.address(), upstream.into_connection());
                Ok(body.to_bytes())
            }
            Ok(Err(source)) => Err(ForwardError::Broken { instance: instance(), source }),
            Err(_) => Err(ForwardError::TimedOut { instance: instance(), after: limit }),
        }
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
        match problem.retry_after_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)) {
            Some(next) if next <= deadline => tokio::time::sleep_until(next).await,
            _ => return Err(problem),
        }
    }
}

/// Writes the request for one attempt.
fn write(address: SocketAddr, forward: &Forward) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::new(Full::new(forward.body.clone()));
    *request.method_mut() = forward.method.clone();
    *request.uri_mut() = Uri::from(forward.path.clone());
    *request.headers_mut() = forward.headers.clone();
    let host = HeaderValue::try_from(address.to_string())?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

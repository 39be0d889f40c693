//! The typed client of the daemon: the control API with the types of `orchestrator-core`, and the gateway as bytes
//! or as a stream of chunks. Talks over the Unix socket of a home or to an `http://` address.
//!
//! Every call has a deadline; the bodies of streams have none. A call that is dropped is cancelled.
//! Owns no retry: a caller that starts the daemon when there is none does that itself.

mod control;
mod error;
mod gateway;
mod models;
mod stream;
mod transport;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClientError;
pub use gateway::GatewayAnswer;
pub use stream::ItemStream;

use transport::{AnswerBody, Target};

/// How long a call may take that only asks.
const ORDINARY: Duration = Duration::from_secs(30);
/// How long a call may take that stops servers: their grace period and more.
const STOPPING: Duration = Duration::from_mins(15);
/// How long a call may take that waits for a model to load, with restarts on the way.
const LOADING: Duration = Duration::from_hours(6);
/// The largest answer that is read into memory.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Talks to one daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    target: Arc<Target>,
}

/// How a call ends: what it sends, where, and until when.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<Bytes>,
    accept: &'static str,
    deadline: Duration,
    last_event: Option<u64>,
    headers: &'a [(&'a str, &'a str)],
}

impl<'a> Call<'a> {
    fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, accept: "application/json", deadline: ORDINARY, last_event: None, headers: &[] }
    }

    fn post(path: &'a str) -> Self {
        Self { method: Method::POST, ..Self::get(path) }
    }

    fn delete(path: &'a str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    fn stream(mut self) -> Self {
        self.accept = "text/event-stream";
        self
    }
}

impl Client {
    /// Talks to the daemon that listens on this Unix socket. The path may be longer than a socket address holds.
    #[must_use]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self { target: Arc::new(Target::Unix { path: path.as_ref().to_path_buf() }) }
    }

    /// Talks to the daemon at an address such as `http://127.0.0.1:8484`, with an API key where it asks for one.
    ///
    /// # Errors
    /// Fails when `url` is no `http://` address, or when the key holds something a header cannot carry.
    pub fn http(url: &str, api_key: Option<&str>) -> Result<Self, ClientError> {
        Ok(Self { target: Arc::new(Target::try_http(url, api_key)?) })
    }

    /// Returns where the daemon is looked for: the path of its socket or its address.
    #[must_use]
    pub fn target(&self) -> String {
        self.target.to_string()
    }

    /// Sends a call and returns its answer when the status says success; the deadline covers the head.
    async fn answer(&self, call: Call<'_>) -> Result<Response<AnswerBody>, ClientError> {
        let response = self.raw(call).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// Sends a call and returns its answer, whatever its status.
    async fn raw(&self, call: Call<'_>) -> Result<Response<AnswerBody>, ClientError> {
        let Call { method, path, body, accept, deadline, last_event, headers } = call;
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(sequence) = last_event {
            request = request.header("last-event-id", sequence);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(body.unwrap_or_default())
            .map_err(|source| ClientError::Request { path: path.to_owned(), source: Box::new(source) })?;
        match tokio::time::timeout(deadline, self.target.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out(path, deadline)),
        }
    }

    /// Sends a call and reads its answer as JSON.
    async fn json<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ClientError> {
        let (path, deadline) = (call.path.to_owned(), call.deadline);
        let work = async {
            let response = self.answer(call).await?;
            let status = response.status();
            let bytes = self.collect(response).await?;
            serde_json::from_slice(&bytes)
                .map_err(|source| self.protocol(Some(status), format!("the answer of `{path}` cannot be read: {source}")))
        };
        match tokio::time::timeout(deadline, work).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out(&path, deadline)),
        }
    }

    /// Sends a call whose answer says nothing but yes.
    async fn done(&self, call: Call<'_>) -> Result<(), ClientError> {
        let (path, deadline) = (call.path.to_owned(), call.deadline);
        match tokio::time::timeout(deadline, self.answer(call)).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(self.timed_out(&path, deadline)),
        }
    }

    async fn collect(&self, response: Response<AnswerBody>) -> Result<Bytes, ClientError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|source| self.protocol(Some(status), format!("the answer broke off: {}", error::chain(&*source))))
    }

    /// Turns an answer that is no success into the error it describes.
    async fn refusal(&self, response: Response<AnswerBody>) -> ClientError {
        let status = response.status();
        match tokio::time::timeout(ORDINARY, self.collect(response)).await {
            Ok(Ok(bytes)) => error::refusal(&self.target(), status, &bytes),
            Ok(Err(error)) => error,
            Err(_) => self.protocol(Some(status), "the answer broke off".to_owned()),
        }
    }

    fn protocol(&self, status: Option<StatusCode>, detail: String) -> ClientError {
        ClientError::Protocol { target: self.target(), status: status.map(|status| status.as_u16()), detail }
    }

    fn timed_out(&self, path: &str, after: Duration) -> ClientError {
        ClientError::TimedOut { target: self.target(), path: path.to_owned(), after }
    }
}

/// Writes a body as JSON.
fn encode(body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|source| ClientError::Request { path: "body".to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests;

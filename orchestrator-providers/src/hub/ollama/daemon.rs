//! A running Ollama, through its API. Never started, stopped or configured by us.
//!
//! Owns: what is asked of it, how long an answer may take, and its errors as ours. Does not own: its store.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::address;
use super::name::LibraryName;
use super::pulling::{PullStream, PullStreamError, shown};

/// How long it may take to say that it is there. It is on this machine or near.
const HERE: Duration = Duration::from_secs(2);
/// How long it may take to answer something small. It may be busy with a model.
const ANSWER: Duration = Duration::from_secs(30);
/// How long it may say nothing while it pulls: comparing a large file with its digest takes minutes.
const SILENCE: Duration = Duration::from_mins(15);
/// The longest answer that is read, in bytes. A licence and the list of a thousand models are far shorter.
const LONGEST: usize = 16 * 1024 * 1024;

/// Why a running Ollama did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum DaemonError {
    /// Nobody answers there, or somebody else.
    #[error("no Ollama answers at `{address}`: {reason}")]
    NotThere {
        /// The address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// It refused.
    #[error("Ollama at `{address}` answered {status}: {message}")]
    Refused {
        /// The address.
        address: String,
        /// The status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// Its answer is not what it should be.
    #[error("the answer of Ollama at `{address}` cannot be used: {reason}")]
    Odd {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It could not pull.
    #[error("Ollama at `{address}` could not pull it: {message}")]
    Pull {
        /// The address.
        address: String,
        /// Its own words.
        message: String,
    },
    /// Whoever asked for it no longer wants it.
    #[error("cancelled")]
    Cancelled,
}

impl DaemonError {
    /// Returns whether it says that another Ollama could, while this one cannot.
    pub(super) fn wants_newer(&self) -> bool {
        match self {
            Self::Pull { message, .. } | Self::Refused { message, .. } => message.contains("newer version"),
            _ => false,
        }
    }
}

/// A model that Ollama has.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DaemonModel {
    /// Its name, with its tag.
    #[serde(default)]
    pub(super) name: String,
    /// Where it runs, for one that is not run on this machine.
    #[serde(default)]
    pub(super) remote_host: String,
}

/// What it says when it refuses.
#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// A running Ollama, if one runs.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    client: reqwest::Client,
    base: Url,
}

impl Daemon {
    /// Names a running Ollama.
    pub(super) fn try_new(base: Url) -> Result<Self, reqwest::Error> {
        // Never through a proxy: it is on this machine or near. Never elsewhere than where a person said it is.
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).connect_timeout(HERE);
        // Without certificates of authorities on this machine there is still HTTP.
        let client = builder.build().or_else(|_| {
            let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).connect_timeout(HERE);
            builder.tls_certs_only([]).build()
        })?;
        Ok(Self { client, base })
    }

    /// Returns its address as it is shown.
    pub(super) fn address(&self) -> String {
        address::shown(&self.base)
    }

    /// Returns whether its files can be on this machine.
    pub(super) fn is_on_this_machine(&self) -> bool {
        match self.base.host_str() {
            Some("localhost") => true,
            Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
            None => false,
        }
    }

    /// Returns its version, when it is there.
    pub(super) async fn version(&self) -> Result<String, DaemonError> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let asked = self.json::<Version>(Method::GET, "api/version", None);
        let not_there = |reason: &str| DaemonError::NotThere { address: self.address(), reason: reason.to_owned() };
        match tokio::time::timeout(HERE, asked).await {
            Ok(Ok(Version { version })) => Ok(shown(&version)),
            Ok(Err(DaemonError::Refused { .. } | DaemonError::Odd { .. })) => Err(not_there("what answers is something else")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(not_there("it took too long")),
        }
    }

    /// Lists its models.
    pub(super) async fn models(&self) -> Result<Vec<DaemonModel>, DaemonError> {
        #[derive(Deserialize)]
        struct Tags {
            #[serde(default)]
            models: Option<Vec<DaemonModel>>,
        }
        Ok(self.json::<Tags>(Method::GET, "api/tags", None).await?.models.unwrap_or_default())
    }

    /// Returns the description that its model is made from, which names the file of its weights. `None`, where there is no such model.
    pub(super) async fn model_file(&self, name: &str) -> Result<Option<String>, DaemonError> {
        #[derive(Deserialize)]
        struct Show {
            #[serde(default)]
            modelfile: String,
        }
        // `name` is what older ones call it.
        let body = json!({ "model": name, "name": name });
        match self.json::<Show>(Method::POST, "api/show", Some(&body)).await {
            Ok(Show { modelfile }) => Ok(Some(modelfile)),
            Err(DaemonError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a model. Returns whether there was one.
    pub(super) async fn delete(&self, name: &LibraryName) -> Result<bool, DaemonError> {
        let body = json!({ "model": name.to_string(), "name": name.to_string() });
        match self.ask(Method::DELETE, "api/delete", Some(&body), ANSWER).await {
            Ok(_) => Ok(true),
            Err(DaemonError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has it pull a model. `heard` is told of all that it says. It keeps what it has when it is left alone.
    pub(super) async fn pull(
        &self,
        name: &LibraryName,
        cancel: &CancellationToken,
        heard: &mut (dyn FnMut(&PullStream) + Send),
    ) -> Result<(), DaemonError> {
        let body = json!({ "model": name.to_string(), "name": name.to_string(), "stream": true });
        let asked = self.ask(Method::POST, "api/pull", Some(&body), SILENCE);
        let Some(response) = cancel.run_until_cancelled(asked).await else { return Err(DaemonError::Cancelled) };
        let mut response = response?;
        let mut stream = PullStream::default();
        let failed = |error: PullStreamError| match error {
            PullStreamError::Failed { message } => DaemonError::Pull { address: self.address(), message },
            other => self.odd(other.to_string()),
        };
        loop {
            let read = tokio::time::timeout(SILENCE, response.chunk());
            let Some(read) = cancel.run_until_cancelled(read).await else { return Err(DaemonError::Cancelled) };
            match read {
                Err(_) => return Err(self.odd(format!("it said nothing for {} s", SILENCE.as_secs()))),
                Ok(Err(error)) => return Err(self.not_there(&error)),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(bytes))) => {
                    if stream.push(&bytes).map_err(failed)? {
                        heard(&stream);
                    }
                }
            }
        }
        stream.end().map_err(failed)?;
        heard(&stream);
        if stream.is_done() { Ok(()) } else { Err(self.odd(format!("it ended at `{}` and did not say that it is done", stream.status()))) }
    }

    async fn json<T: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, DaemonError> {
        let read = async {
            let mut response = self.ask(method, path, body, ANSWER).await?;
            let bytes = self.read(&mut response).await?;
            serde_json::from_slice(&bytes).map_err(|error| self.odd(shown(&error.to_string())))
        };
        tokio::time::timeout(ANSWER, read).await.unwrap_or_else(|_| Err(self.odd("it did not end in time".to_owned())))
    }

    async fn read(&self, response: &mut Response) -> Result<Vec<u8>, DaemonError> {
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.not_there(&error))? {
            if bytes.len() + piece.len() > LONGEST {
                return Err(self.odd(format!("it is longer than {LONGEST} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Asks, and waits for the head of a good answer.
    async fn ask(&self, method: Method, path: &str, body: Option<&serde_json::Value>, limit: Duration) -> Result<Response, DaemonError> {
        let url = self.base.join(path).map_err(|error| self.odd(error.to_string()))?;
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let late = |_| DaemonError::NotThere { address: self.address(), reason: "it took too long".to_owned() };
        let answered = tokio::time::timeout(limit, request.send()).await.map_err(late)?;
        let mut response = answered.map_err(|error| self.not_there(&error))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let said = tokio::time::timeout(ANSWER, self.read(&mut response)).await.ok().and_then(Result::ok).unwrap_or_default();
        let message =
            serde_json::from_slice::<Failure>(&said).map_or_else(|_| String::from_utf8_lossy(&said).into_owned(), |said| said.error);
        Err(DaemonError::Refused { address: self.address(), status: status.as_u16(), message: shown(&message) })
    }

    fn odd(&self, reason: String) -> DaemonError {
        DaemonError::Odd { address: self.address(), reason }
    }

    fn not_there(&self, error: &reqwest::Error) -> DaemonError {
        // The innermost cause says it; the others name the address again.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        DaemonError::NotThere { address: self.address(), reason: shown(&cause.to_string()) }
    }
}

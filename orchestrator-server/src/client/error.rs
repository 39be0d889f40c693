//! Why a call to the daemon failed, and how an answer that refuses is read.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use orchestrator_core::error::{Coded, causes_of};
use orchestrator_core::{ErrorCode, Problem};
use serde::Deserialize;

/// Why a call to the daemon failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens there.
    #[error("the daemon at `{target}` cannot be reached")]
    Unreachable {
        /// Where it was looked for.
        target: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The daemon answered with a problem.
    #[error("{}", _0.title)]
    Problem(Problem),
    /// What answers there does not speak our protocol, or broke off.
    #[error("the daemon at `{target}` gave an answer that cannot be used: {detail}")]
    Protocol {
        /// Who answered.
        target: String,
        /// The status of the answer, where there was one.
        status: Option<u16>,
        /// What is wrong with it.
        detail: String,
    },
    /// It was there and went away before it had answered.
    #[error("the daemon at `{target}` ended before it had answered")]
    WentAway {
        /// Who was asked.
        target: String,
        /// How that was seen.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer came in time.
    #[error("the daemon at `{target}` did not answer `{path}` within {after:?}")]
    TimedOut {
        /// Who was asked.
        target: String,
        /// What was asked.
        path: String,
        /// How long was waited.
        after: Duration,
    },
    /// The address is none.
    #[error("`{url}` is no address of a daemon: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The request cannot be written.
    #[error("the request `{path}` cannot be written")]
    Request {
        /// What was to be asked.
        path: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Coded for ClientError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unreachable { .. } | Self::Protocol { .. } | Self::WentAway { .. } | Self::TimedOut { .. } => {
                ErrorCode::DaemonUnreachable
            }
            Self::Problem(problem) => problem.code,
            Self::Address { .. } => ErrorCode::Usage,
            Self::Request { .. } => ErrorCode::RequestInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { target, .. } if target.starts_with("http") => {
                Some("check the address; `orch daemon status` on that machine tells where its daemon listens".to_owned())
            }
            Self::Unreachable { .. } => Some("start it with `orch daemon start`".to_owned()),
            Self::Problem(problem) => problem.hint.clone(),
            Self::Protocol { .. } => Some("check that it is an Orchestrator daemon, of the same version as this program".to_owned()),
            Self::WentAway { .. } => {
                Some("see with `orch ps` what became of it and ask again; a new daemon finds everything that runs".to_owned())
            }
            Self::TimedOut { .. } => Some("look at the daemon's log; `orch daemon status` shows where it lies".to_owned()),
            Self::Address { .. } => Some("write it like `http://127.0.0.1:8484`".to_owned()),
            Self::Request { .. } => None,
        }
    }
}

impl ClientError {
    /// Returns whether no daemon listens there, so that starting one makes sense.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Describes the failure for people and for the wire; the daemon's own problem passes unchanged.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Problem(problem) => problem,
            other => Problem::from_error(&other),
        }
    }
}

/// Returns the text of an error with its causes, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes_of(error) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The error body of the gateway's OpenAI routes.
#[derive(Deserialize)]
struct OpenAiError {
    error: OpenAiErrorDetail,
}

#[derive(Deserialize)]
struct OpenAiErrorDetail {
    message: String,
    #[serde(default)]
    code: serde_json::Value,
}

/// Reads the body of an answer that refuses.
pub(super) fn refusal(target: &str, status: StatusCode, body: &[u8]) -> ClientError {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return ClientError::Problem(problem);
    }
    if let Some(problem) = openai_problem(status, body) {
        return ClientError::Problem(problem);
    }
    let text: String = String::from_utf8_lossy(body).chars().take(200).flat_map(char::escape_debug).collect();
    ClientError::Protocol { target: target.to_owned(), status: Some(status.as_u16()), detail: format!("status {status}: {text}") }
}

/// Reads an error in OpenAI's shape: one of the gateway's own, or one that an engine wrote.
pub(super) fn openai_problem(status: StatusCode, body: &[u8]) -> Option<Problem> {
    let detail = serde_json::from_slice::<OpenAiError>(body).ok()?.error;
    // A code that is not ours was written by the engine, often the number of its status.
    let number = detail.code.as_u64().map(|number| format!(" {number}")).unwrap_or_default();
    let mut problem = match serde_json::from_value(detail.code) {
        Ok(code) => Problem::new(code, detail.message),
        Err(_) => Problem::new(ErrorCode::UpstreamFailed, format!("the model's server answered with an error{number}"))
            .with_cause(detail.message)
            .with_hint("`orch logs NAME` shows what it said, with the name of the instance"),
    };
    problem.status = status.as_u16();
    Some(problem)
}

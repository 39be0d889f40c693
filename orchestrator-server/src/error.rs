//! How a failure becomes a response: `application/problem+json` on the control API, OpenAI's shape on the gateway.
//! Owns no failure: those live where they can happen.

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use orchestrator_core::{ErrorCode, Problem};
use serde_json::json;

/// Which protocol the client of a path speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The control API.
    Control,
    /// The gateway's OpenAI routes.
    OpenAi,
}

impl Dialect {
    /// Returns the protocol of a path.
    pub(crate) fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") { Self::OpenAi } else { Self::Control }
    }

    /// Writes a failure the way this protocol does.
    pub(crate) fn response(self, problem: &Problem) -> Response<Body> {
        match self {
            Self::Control => build(problem, "application/problem+json", serde_json::to_vec(problem).unwrap_or_default().into()),
            Self::OpenAi => build(problem, "application/json", openai_body(problem)),
        }
    }
}

fn build(problem: &Problem, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(problem.code);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(seconds) = problem.retry_after_seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Writes a failure as the JSON that OpenAI's clients understand.
pub(crate) fn openai_body(problem: &Problem) -> Bytes {
    let body = json!({ "error": {
        "message": openai_message(problem),
        "type": openai_type(problem.status),
        "code": problem.code,
        "param": if problem.code == ErrorCode::ModelUnknown { Some("model") } else { None },
    } });
    body.to_string().into()
}

/// Returns everything a person needs in one text: OpenAI's clients show nothing else.
fn openai_message(problem: &Problem) -> String {
    let mut message = problem.to_string();
    if let Some(hint) = &problem.hint {
        message.push_str("; ");
        message.push_str(hint);
    }
    if !problem.stderr_tail.is_empty() {
        message.push_str("\nthe engine's last words:\n");
        message.push_str(&problem.stderr_tail.join("\n"));
    }
    message
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        503 => "service_unavailable_error",
        _ => "server_error",
    }
}

/// A failure of a handler of the control API.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Problem);

impl<E: Into<Problem>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        Dialect::Control.response(&self.0)
    }
}

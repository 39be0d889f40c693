//! Extractors whose refusals are problems like all others: names in paths, queries, JSON bodies.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use orchestrator_core::{ErrorCode, Problem};
use serde::de::DeserializeOwned;

use crate::error::Refused;
use crate::gateway::intake;

/// The largest body of the control API.
const LARGEST_BODY: usize = 1024 * 1024;

/// A name in the path, checked.
pub(crate) struct NameIn<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for NameIn<T>
where
    S: Send + Sync,
    T: FromStr + Send,
    T::Err: std::error::Error,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|error| invalid("path", &error.body_text()))?;
        text.parse().map(Self).map_err(|error: T::Err| invalid("path", &error.to_string()))
    }
}

/// The query.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for QueryOf<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(invalid("query", &error.body_text())),
        }
    }
}

/// A JSON body; an empty one counts as `{}`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let (head, mut body) = request.into_parts();
        let bytes = intake::read(&head.headers, &mut body, LARGEST_BODY).await.map_err(|error| Refused(error.into_problem()))?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(bytes).map(Self).map_err(|error| invalid("body", &error.to_string()))
    }
}

fn invalid(what: &str, detail: &str) -> Refused {
    let detail: String = detail.chars().take(400).flat_map(char::escape_debug).collect();
    Refused(Problem::new(ErrorCode::RequestInvalid, format!("the request's {what} cannot be understood: {detail}")))
}

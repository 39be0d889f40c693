//! What the gateway says itself in OpenAI's protocol: the list of models.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use orchestrator_core::{ErrorCode, Problem};
use serde::Serialize;

use crate::api::ServedModel;

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelEntry<'a>>,
}

#[derive(Serialize)]
struct ModelEntry<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
    instance: &'a str,
    model: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aliases: &'a [String],
}

/// Lists a model under its own name and under each alias.
fn entries(served: &[ServedModel], created: i64) -> impl Iterator<Item = ModelEntry<'_>> {
    served.iter().flat_map(move |model| {
        let entry = move |id, aliases| ModelEntry {
            id,
            object: "model",
            created,
            owned_by: "orchestrator",
            instance: model.instance.as_str(),
            model: &model.model,
            state: &model.state,
            aliases,
        };
        let own = entry(&model.id, &model.aliases);
        let others = model.aliases.iter().filter(|alias| **alias != model.id).map(move |alias| entry(alias, &[]));
        std::iter::once(own).chain(others)
    })
}

/// Answers `GET /v1/models`.
pub(super) fn models(served: &[ServedModel], created: i64) -> Result<Response<Body>, Problem> {
    json(&ModelList { object: "list", data: entries(served, created).collect() })
}

/// Answers `GET /v1/models/{id}`.
pub(super) fn model(served: &[ServedModel], created: i64, id: &str) -> Result<Response<Body>, Problem> {
    if let Some(entry) = entries(served, created).find(|entry| entry.id == id) {
        return json(&entry);
    }
    let id: String = id.chars().take(200).flat_map(char::escape_debug).collect();
    let problem = Problem::new(ErrorCode::ModelUnknown, format!("no instance or alias is named `{id}`"));
    Err(problem.with_hint("`GET /v1/models` lists the names"))
}

fn json(value: &impl Serialize) -> Result<Response<Body>, Problem> {
    let body = serde_json::to_vec(value)
        .map_err(|source| Problem::new(ErrorCode::Internal, "could not write the answer").with_cause(source.to_string()))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

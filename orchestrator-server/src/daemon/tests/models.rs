//! Models through the client and through HTTP as anybody writes it, against a hub that is told when to go on.

use futures_util::StreamExt;
use orchestrator_core::model::ModelReference;
use orchestrator_core::operation::{OperationKind, OperationStatus, ProgressUnit};
use orchestrator_core::provider::{ImportMode, ProviderKind};
use orchestrator_core::{ErrorCode, Problem};
use serde_json::{Value, json};

use super::hub::{HUGE, LENGTH, go};
use super::rig::*;
use crate::ClientError;
use crate::api::{ProviderName, PruneBody};

fn reference(text: &str) -> ModelReference {
    text.parse().unwrap()
}

fn problem(error: ClientError) -> Problem {
    match error {
        ClientError::Problem(problem) => problem,
        other => panic!("{other:?}"),
    }
}

/// Sends a request with a body by hand; returns the status, the head, and the body as JSON.
async fn send(served: &Served, method: &str, path: &str, body: &Value) -> (u16, String, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} /api/v1/models/{path} HTTP/1.1\nhost: localhost\nconnection: close\ncontent-type: application/json\ncontent-length: {}",
        body.len()
    );
    let answer = served.raw(&format!("{head}\n\n{body}")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn a_model_is_found_pulled_followed_listed_and_removed() {
    let home = Home::new();
    let served = home.serve().await;
    let client = &served.client;
    let model = reference("hf:google/gemma-2b-it");
    assert_eq!(client.search_models("google", Some(ProviderName::Hf), 2).await.unwrap().models.len(), 2);
    assert_eq!(client.plan_pull(&model).await.unwrap().missing_bytes(), LENGTH);
    assert_eq!(problem(client.model_info(&model).await.unwrap_err()).code, ErrorCode::ModelNotFound);

    let begun = client.pull_model(&model, false, None).await.unwrap();
    assert_eq!(client.pull_model(&model, false, None).await.unwrap().id, begun.id, "a second wish joins the first");
    let mut changes = client.follow_operation(begun.id).await.unwrap();
    loop {
        let OperationStatus::Running { progress } = changes.next().await.unwrap().unwrap().status else { panic!("it ended") };
        if progress.unit == ProgressUnit::Bytes {
            assert_eq!((progress.total, progress.files.len()), (Some(LENGTH), 1));
            break;
        }
    }
    go(&home.paths.models_dir());
    let last = changes.map(Result::unwrap).collect::<Vec<_>>().await.pop().unwrap();
    assert!(matches!(last.status, OperationStatus::Succeeded { .. }), "{last:?}");

    assert_eq!(client.model_info(&model).await.unwrap().size_bytes, LENGTH);
    let usage = client.model_usage().await.unwrap();
    let row = usage.iter().find(|row| row.reference == model).unwrap();
    assert!(row.used_by.is_empty() && row.last_used_at.is_none(), "{row:?}");
    assert_eq!(client.prune_models(&PruneBody { dry_run: true, ..PruneBody::default() }).await.unwrap().freed_bytes, LENGTH);
    let removed = client.remove_model(&model, false).await.unwrap();
    let last = client.follow_operation(removed.id).await.unwrap().map(Result::unwrap).collect::<Vec<_>>().await.pop().unwrap();
    assert!(matches!(last.status, OperationStatus::Succeeded { .. }), "{last:?}");
    assert_eq!(problem(client.model_info(&model).await.unwrap_err()).code, ErrorCode::ModelNotFound);
    served.end().await;
}

#[tokio::test]
async fn a_pull_is_asked_for_watched_and_cancelled_by_any_client() {
    let home = Home::new();
    let served = home.serve().await;
    let body = json!({ "provider": "hf", "model": "google/gemma-2b-it", "runtime": "llama_cpp" });
    let (status, head, operation) = send(&served, "POST", "install", &body).await;
    let id = operation["id"].as_str().unwrap().to_owned();
    assert_eq!((status, operation["kind"]["kind"].as_str()), (202, Some("pull")), "{operation}");
    assert!(head.contains(&format!("location: /api/v1/models/operations/{id}")), "{head}");
    let (status, _, operations) = send(&served, "GET", "operations", &Value::Null).await;
    assert_eq!((status, &operations[0]["id"]), (200, &operation["id"]));
    assert_eq!(send(&served, "GET", &format!("operations/{id}"), &Value::Null).await.2["kind"], operation["kind"]);
    let follow = format!("GET /api/v1/models/operations/{id} HTTP/1.1\nhost: localhost\naccept: text/event-stream\nconnection: close\n\n");
    let (events, cancelled) = tokio::join!(served.raw(&follow), async {
        wait_until("progress", async || {
            let shown = send(&served, "GET", &format!("operations/{id}"), &Value::Null).await.2;
            shown["status"]["progress"]["unit"] == "bytes"
        })
        .await;
        send(&served, "DELETE", &format!("operations/{id}"), &Value::Null).await.0
    });
    assert_eq!(cancelled, 204);
    assert!(events.contains("text/event-stream"), "{events}");
    let last = events.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    assert!(last.contains(r#""status":"cancelled""#), "{last}");
    assert_eq!(send(&served, "DELETE", &format!("operations/{id}"), &Value::Null).await.0, 404);
    served.end().await;
}

#[tokio::test]
async fn what_is_large_is_confirmed_and_what_is_not_given_is_told() {
    let home = Home::new();
    let served = home.serve().await;
    let client = &served.client;
    let huge = reference("hf:a/huge");
    let refusal = problem(client.pull_model(&huge, false, None).await.unwrap_err());
    assert_eq!((refusal.code, refusal.status), (ErrorCode::ModelUnconfirmed, 409), "{refusal}");
    assert_eq!(client.plan_pull(&huge).await.unwrap().total_bytes(), HUGE);
    let begun = client.pull_model(&huge, true, None).await.unwrap();
    assert_eq!(begun.kind, OperationKind::Pull { reference: huge });
    client.cancel_operation(begun.id).await.unwrap();
    let gated = problem(client.pull_model(&reference("hf:a/gated"), true, None).await.unwrap_err());
    assert_eq!((gated.code, gated.hint.as_deref()), (ErrorCode::ModelAccessDenied, Some("ask its makers")));
    let elsewhere = problem(client.pull_model(&reference("ollama:qwen3"), true, None).await.unwrap_err());
    assert_eq!(elsewhere.code, ErrorCode::ProviderUnavailable);
    let rows = client.providers().await.unwrap();
    let available: Vec<_> = rows.iter().filter(|row| row.available).map(|row| row.kind).collect();
    assert_eq!((rows.len(), available.as_slice()), (3, [ProviderKind::Local, ProviderKind::HuggingFace].as_slice()));
    served.end().await;
}

#[tokio::test]
async fn a_model_that_an_instance_names_stays_unless_it_is_forced_away() {
    let home = Home::new();
    home.instance("a");
    let served = home.serve().await;
    let model = reference("file:/m/a.gguf");
    let refusal = problem(served.client.remove_model(&model, false).await.unwrap_err());
    assert_eq!(refusal.code, ErrorCode::ModelInUse);
    assert!(refusal.title.contains("`a`"), "{refusal}");
    let missing = problem(served.client.import_model("relative.gguf".as_ref(), ImportMode::InPlace).await.unwrap_err());
    assert_eq!(missing.code, ErrorCode::ModelReferenceInvalid);
    served.end().await;
}

#[tokio::test]
async fn bodies_and_queries_that_do_not_say_what_is_meant_are_refused() {
    let home = Home::new();
    let served = home.serve().await;
    for (path, body, status, code) in [
        ("install", json!({}), 400, "request.invalid"),
        ("install", json!({ "reference": "hf:a/b", "model": "a/b" }), 400, "request.invalid"),
        ("install", json!({ "provider": "modelscope", "model": "a/b" }), 400, "request.invalid"),
        ("install", json!({ "reference": "a/b" }), 422, "model.reference_invalid"),
        ("install", json!({ "reference": "hf:a/b", "runtime": "vllm" }), 424, "engine.not_found"),
        ("install", json!({ "reference": "hf:a/b", "yes": true }), 400, "request.invalid"),
        ("remove", json!({}), 400, "request.invalid"),
        ("remove", json!({ "reference": "hf:a/b" }), 404, "model.not_found"),
        ("import", json!({ "path": "/m/x.gguf", "copy": true }), 400, "request.invalid"),
        ("prune", json!({ "dryrun": true }), 400, "request.invalid"),
        ("fit", json!({ "reference": "hf:a/b", "settings": { "ctx": 1 } }), 400, "request.invalid"),
        ("fit", json!({ "reference": "ollama:qwen3" }), 503, "provider.unavailable"),
    ] {
        let (answered, _, problem) = send(&served, "POST", path, &body).await;
        assert_eq!((answered, problem["code"].as_str()), (status, Some(code)), "{path} {body}: {problem}");
    }
    for (path, status, code) in [
        ("search?provider=x", 400, "request.invalid"),
        ("search?limit=-1", 400, "request.invalid"),
        ("search?provider=ollama", 503, "provider.unavailable"),
        ("ollama/catalog", 503, "provider.unavailable"),
        ("plan", 400, "request.invalid"),
        ("plan?reference=nonsense", 422, "model.reference_invalid"),
        ("operations/7", 400, "request.invalid"),
    ] {
        let (answered, _, problem) = send(&served, "GET", path, &Value::Null).await;
        assert_eq!((answered, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
    served.end().await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let home = Home::new();
    let served = home.serve().await;
    for path in ["install", "remove", "import", "prune", "activate"] {
        let body = r#"{"reference":"hf:a/b"}"#;
        let head = format!("POST /api/v1/models/{path} HTTP/1.1\nhost: localhost\nconnection: close\ncontent-length: {}", body.len());
        let forged = format!("{head}\norigin: https://evil.example\ncontent-type: application/json\n\n{body}");
        let answer = served.raw(&forged).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
        let plain = format!("{head}\nsec-fetch-site: cross-site\ncontent-type: text/plain\n\n{body}");
        let answer = served.raw(&plain).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
    }
    assert!(served.client.operations().await.unwrap().is_empty());
    served.end().await;
}

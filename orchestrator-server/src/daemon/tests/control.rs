//! The control API through its client.

use futures_util::StreamExt;
use orchestrator_core::operation::OperationStatus;
use orchestrator_core::{ErrorCode, InstanceName};

use super::rig::*;
use crate::ClientError;
use crate::api::LogStream;

fn code(error: ClientError) -> ErrorCode {
    match error {
        ClientError::Problem(problem) => problem.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_instance_is_started_described_read_and_stopped() {
    let home = Home::new();
    let name = home.instance("a");
    let served = home.serve().await;
    let client = &served.client;
    assert_eq!(client.instances().await.unwrap().instances[0].state, "stopped");
    let mut events = client.follow_events(0).await.unwrap();
    let summary = client.up_and_wait(&name).await.unwrap();
    assert_eq!((summary.state.as_str(), summary.pid.is_some()), ("ready", true));
    assert_eq!(client.up(&name).await.unwrap().pid, summary.pid);
    assert_eq!(client.status().await.unwrap().instances.ready, 1);
    let description = client.describe(&name).await.unwrap();
    assert_eq!((description.summary.pid, description.spec.name), (summary.pid, name.clone()));
    wait_until("the engine's line", async || {
        client.logs(&name, LogStream::Stdout, 10).await.unwrap().iter().any(|line| line.text == "listening")
    })
    .await;
    let mut lines = client.follow_logs(&name, LogStream::Stdout, 10).await.unwrap();
    assert_eq!(tokio::time::timeout(SOON, lines.next()).await.unwrap().unwrap().unwrap().text, "listening");
    assert_eq!(client.down(&name).await.unwrap().pid, None);
    assert_eq!(code(client.down(&name).await.unwrap_err()), ErrorCode::InstanceNotRunning);
    let mut numbers = Vec::new();
    loop {
        let event = tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap().unwrap();
        numbers.push(event.sequence);
        if event.message.contains("stopped") || event.data["state"] == "stopped" {
            break;
        }
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    client.remove(&name).await.unwrap();
    assert_eq!(code(client.describe(&name).await.unwrap_err()), ErrorCode::InstanceUnknown);
    served.end().await;
}

#[tokio::test]
async fn an_environment_is_built_by_an_operation_that_can_be_followed() {
    let home = Home::new();
    let served = home.serve().await;
    let client = &served.client;
    assert_eq!(client.environments().await.unwrap()[0].key, recipe());
    let operation = client.create_environment(&recipe()).await.unwrap();
    let changes: Vec<_> = client.follow_operation(operation.id).await.unwrap().collect().await;
    let last = changes.into_iter().next_back().unwrap().unwrap();
    assert!(matches!(last.status, OperationStatus::Succeeded { .. }), "{last:?}");
    assert_eq!(client.operation(operation.id).await.unwrap(), last);
    assert_eq!(client.operations().await.unwrap(), [last]);
    assert_eq!(code(client.test_environment(&recipe()).await.unwrap_err()), ErrorCode::EnvNotInstalled);
    assert_eq!(code(client.create_environment(&"other".parse().unwrap()).await.unwrap_err()), ErrorCode::EnvUnknown);
    assert_eq!(client.hardware().await.unwrap().cpu_count, 3);
    assert_eq!(client.hardware_and_engines().await.unwrap().cpu_count, 3);
    let info = client.model_info(&"file:/m/ä b&c.gguf".parse().unwrap()).await.unwrap();
    assert_eq!(info.path.to_str(), Some("/m/ä b&c.gguf"));
    served.end().await;
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_a_problem_with_a_status() {
    let home = Home::new();
    let served = home.serve().await;
    for (request, status, word) in [
        ("GET /nothing", "404", "request.not_found"),
        ("GET /api/v1/instances/nobody", "404", "instance.unknown"),
        ("GET /api/v1/instances/NOBODY", "400", "request.invalid"),
        ("GET /api/v1/instances/%2e%2e%2fx", "400", "request.invalid"),
        ("GET /api/v1/instances/%ff", "400", "request.invalid"),
        ("PUT /api/v1/instances", "405", "does not take PUT"),
        ("GET /api/v1/shutdown", "405", "does not take GET"),
        ("GET /api/v1/events?limit=x", "400", "request.invalid"),
        ("GET /api/v1/events?unknown=1", "400", "unknown"),
        ("GET /api/v1/operations/7", "400", "request.invalid"),
        ("GET /api/v1/operations/00000000-0000-7000-8000-000000000000", "404", "request.not_found"),
        ("DELETE /api/v1/operations/00000000-0000-7000-8000-000000000000", "404", "request.not_found"),
        ("GET /api/v1/models/info", "400", "reference"),
        ("GET /api/v1/models/info?ref=nonsense", "422", "model.reference_invalid"),
        ("GET /api/v1/instances/a/logs?tail=999999999", "400", "tail"),
    ] {
        let answer = served.raw(&format!("{request} HTTP/1.1\nhost: localhost\nconnection: close\n\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("application/problem+json") && answer.contains(word), "{request}: {answer}");
    }
    for (body, status) in [("{", "400"), (r#"{"stop_instance":true}"#, "400"), ("[1]", "400")] {
        let head =
            format!("POST /api/v1/shutdown HTTP/1.1\nhost: localhost\ncontent-type: application/json\ncontent-length: {}", body.len());
        let answer = served.raw(&format!("{head}\nconnection: close\n\n{body}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("request.invalid"), "{body}: {answer}");
    }
    let large =
        "POST /api/v1/shutdown HTTP/1.1\nhost: localhost\ncontent-type: application/json\ncontent-length: 99999999\nconnection: close\n\n";
    assert!(served.raw(large).await.starts_with("HTTP/1.1 413 "));
    let missing = InstanceName::try_new("nobody").unwrap();
    assert_eq!(code(served.client.up(&missing).await.unwrap_err()), ErrorCode::InstanceUnknown);
    served.end().await;
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    let home = Home::new();
    let served = home.serve().await;
    let ask = async |header: &str| {
        let answer = served.raw(&format!("GET /health HTTP/1.1\nhost: localhost\n{header}connection: close\n\n")).await;
        answer.lines().find_map(|line| line.strip_prefix("x-request-id: ").map(str::to_owned)).unwrap()
    };
    assert_eq!(ask("x-request-id: mine-7\n").await, "mine-7");
    let (first, second) = (ask("").await, ask("").await);
    assert_ne!(first, second);
    assert_ne!(ask(&format!("x-request-id: {}\n", "x".repeat(500))).await.len(), 500);
    served.end().await;
}

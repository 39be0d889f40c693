//! What passes the gateway, and what it says itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::Notify;

use super::rig::*;

#[tokio::test]
async fn a_request_and_its_answer_pass_as_they_are_without_secrets() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let address = engine(move |mut wire, _| {
        let seen = seen.clone();
        async move {
            seen.send(wire.request().await.unwrap()).unwrap();
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\naccess-control-allow-origin: *\r\nset-cookie: a=b\r\nx-engine: 1\r\n";
            wire.write(&format!("{head}content-length: 2\r\n\r\n{{}}")).await;
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    let body = r#"{"messages":[{"role":"user","content":"é"}], "model" : "m"}"#;
    let (status, headers, answer) = rig.chat(body).await;
    assert_eq!((status, answer.as_str()), (200, "{}"));
    assert_eq!(headers["x-orchestrator-instance"], "m");
    assert_eq!(headers["x-engine"], "1");
    assert!(!headers.contains_key("access-control-allow-origin") && !headers.contains_key("set-cookie"));
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n") && request.ends_with(body), "{request}");
    assert!(request.contains(&format!("host: {address}")) && !request.contains("sk-secret"), "{request}");
    assert_eq!(scheduler.held(), 0);
}

#[tokio::test]
async fn the_configured_fields_are_set_and_stripped() {
    let address = engine(|mut wire, _| async move {
        let request = wire.request().await.unwrap();
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        wire.json(body).await;
    })
    .await;
    let scheduler = Scheduler::with_spec([address], |spec| {
        spec.request.strip.push("seed".to_owned());
        spec.request.set.insert("temperature".to_owned(), json!(0));
    });
    let (_, _, answer) = Rig::new(&scheduler).await.chat(r#"{"model":"m","seed":1,"temperature":1}"#).await;
    assert_eq!(answer, r#"{"model":"m","temperature":0}"#);
}

#[tokio::test]
async fn a_connection_to_the_engine_is_used_again_after_whole_and_streamed_answers() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let address = engine(move |mut wire, number| {
        counter.fetch_max(number + 1, Ordering::SeqCst);
        async move {
            while wire.request().await.is_some() {
                wire.json("{}").await;
                if wire.request().await.is_none() {
                    return;
                }
                wire.begin_stream().await;
                wire.chunk("data: [DONE]\n\n").await;
                wire.end_stream().await;
            }
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    for _ in 0..5 {
        assert_eq!(rig.chat(MODEL).await.2, "{}");
        assert_eq!(rig.chat(MODEL).await.2, "data: [DONE]\n\n");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_idle_connection_that_the_engine_closed_costs_the_client_nothing() {
    let address = engine(|mut wire, number| async move {
        wire.request().await.unwrap();
        wire.json(&number.to_string()).await;
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    for number in 0..5 {
        let (status, _, answer) = rig.chat(MODEL).await;
        assert_eq!((status, answer), (200, number.to_string()));
    }
    assert_eq!(scheduler.admitted(), 5, "the request was not repeated by way of the scheduler");
}

#[tokio::test]
async fn each_event_reaches_the_client_before_the_next_is_written() {
    let go = Arc::new(Notify::new());
    let next = go.clone();
    let address = engine(move |mut wire, _| {
        let go = go.clone();
        async move {
            wire.request().await.unwrap();
            wire.begin_stream().await;
            for number in 0..20 {
                wire.chunk(&format!("data: {{\"n\":{number}}}\n\n")).await;
                go.notified().await;
            }
            wire.chunk("data: [DONE]\n\n").await;
            wire.end_stream().await;
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    let mut chunks = rig.client.chat_stream(&json!({"model": "m"})).await.unwrap();
    for number in 0..20 {
        assert_eq!(scheduler.held(), 1);
        let chunk = tokio::time::timeout(SOON, chunks.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(chunk["n"], number);
        next.notify_one();
    }
    assert!(chunks.next().await.is_none());
    scheduler.until_free().await;
}

#[tokio::test]
async fn models_are_listed_under_each_of_their_names() {
    let rig = Rig::new(&Scheduler::new([nowhere().await])).await;
    let models = rig.client.served_models().await.unwrap();
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((models["object"].as_str(), ids), (Some("list"), vec!["m", "small"]));
}

#[tokio::test]
async fn bad_requests_are_answered_in_openais_shape_and_reach_no_engine() {
    let scheduler = Scheduler::new([nowhere().await]);
    let rig = Rig::new(&scheduler).await;
    for (body, status, code, word) in [
        ("", 400, "request.invalid", "no body"),
        ("nonsense", 400, "request.invalid", "line 1 column 2"),
        ("{}", 400, "request.invalid", "add `\"model\""),
        (r#"{"model":7}"#, 400, "request.invalid", "model"),
        (r#"{"model":"m","model":"m"}"#, 400, "request.invalid", "duplicate"),
        (r#"{"model":"n"}"#, 404, "model.unknown", "is `m` meant?"),
    ] {
        let (got, _, answer) = rig.chat(body).await;
        let error = error_of(&answer);
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{body}");
        assert!(error["message"].as_str().unwrap().contains(word), "{answer}");
    }
    let unknown = rig.client.openai_post("/v1/nothing", "{}").await.unwrap();
    assert_eq!(unknown.status(), 404);
    let wrong = rig.client.openai_post("/v1/models", "{}").await.unwrap();
    assert_eq!((wrong.status().as_u16(), wrong.headers()["allow"].to_str().unwrap()), (405, "GET"));
    assert_eq!(scheduler.admitted(), 0);
}

#[tokio::test]
async fn a_sender_of_a_hundred_megabytes_reads_its_refusal() {
    let rig = Rig::new(&Scheduler::new([nowhere().await])).await;
    // `openai_post` writes the whole body, as simple clients do, and reads only then.
    let (status, _, answer) = rig.chat(&"x".repeat(100 * 1024 * 1024)).await;
    assert_eq!((status, error_of(&answer)["code"].as_str()), (413, Some("request.too_large")));
    assert!(answer.contains("max_body_mb"), "{answer}");
}

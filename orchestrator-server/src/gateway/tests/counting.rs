//! What is counted of requests, and what identifies them.

use bytes::Bytes;
use http_body_util::Full;
use orchestrator_core::config::daemon::LimitsConfig;
use tokio_util::task::TaskTracker;

use super::super::Gateway;
use super::rig::*;
use crate::metrics::{Outcome, Route};

/// Reads how many requests ended how, at the instance `name`.
fn ended(rig: &Rig, name: &str) -> Vec<(Route, Outcome, u64)> {
    let stations = rig.stations.all();
    stations.iter().filter(|(found, _)| *found == name).flat_map(|(_, station)| station.meters.requests()).collect()
}

/// Waits until a request ended so.
async fn until_ended(rig: &Rig, expected: (Route, Outcome, u64)) {
    let deadline = std::time::Instant::now() + SOON;
    while !ended(rig, "m").contains(&expected) {
        assert!(std::time::Instant::now() < deadline, "{:?}", ended(rig, "m"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whole_and_streamed_answers_are_counted_with_their_tokens() {
    const USAGE: &str = r#"{"usage":{"prompt_tokens":3,"completion_tokens":5}}"#;
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.json(USAGE).await;
        wire.request().await.unwrap();
        wire.begin_stream().await;
        wire.chunk("data: {\"n\":1}\n\n").await;
        wire.chunk(&format!("data: {USAGE}\n\ndata: [DONE]\n\n")).await;
        wire.end_stream().await;
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    assert_eq!(rig.chat(MODEL).await.2, USAGE);
    assert!(rig.chat(MODEL).await.2.ends_with("[DONE]\n\n"));
    until_ended(&rig, (Route::Chat, Outcome::Success, 2)).await;
    let stations = rig.stations.all();
    let meters = &stations.iter().find(|(name, _)| *name == "m").unwrap().1.meters;
    assert_eq!((meters.prompt_tokens.get(), meters.completion_tokens.get(), meters.in_flight()), (6, 10, 0));
    assert_eq!((meters.wait.read().count, meters.first_byte.read().count, meters.duration.read().count), (2, 2, 2));
}

#[tokio::test]
async fn a_request_that_reaches_no_instance_is_counted_without_one() {
    let rig = Rig::new(&Scheduler::new([nowhere().await])).await;
    assert_eq!(rig.chat(r#"{"model":"stranger"}"#).await.0, 404);
    assert_eq!(rig.chat("{").await.0, 400);
    rig.client.served_models().await.unwrap();
    assert_eq!(ended(&rig, ""), [(Route::Chat, Outcome::Client, 2), (Route::Models, Outcome::Success, 1)]);
    assert_eq!(ended(&rig, "m"), []);
}

#[tokio::test]
async fn broken_answers_and_clients_that_leave_are_told_apart() {
    let address = engine(|mut wire, number| async move {
        wire.request().await.unwrap();
        wire.begin_stream().await;
        wire.chunk("data: {}\n\n").await;
        if number > 0 {
            wire.closed().await;
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    assert!(rig.chat(MODEL).await.2.contains("instance.upstream_failed"));
    until_ended(&rig, (Route::Chat, Outcome::Broken, 1)).await;
    let mut client = rig.raw_chat().await;
    tokio::io::AsyncReadExt::read_u8(&mut client).await.unwrap();
    drop(client);
    until_ended(&rig, (Route::Chat, Outcome::Aborted, 1)).await;
    scheduler.until_free().await;
}

#[tokio::test]
async fn a_second_try_is_counted_as_one_request_and_one_retry() {
    let address = engine(|mut wire, number| async move {
        wire.request().await.unwrap();
        if number > 0 {
            wire.json("{}").await;
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    scheduler.say_gone();
    let rig = Rig::new(&scheduler).await;
    assert_eq!(rig.chat(MODEL).await.0, 200);
    let stations = rig.stations.all();
    let meters = &stations.iter().find(|(name, _)| *name == "m").unwrap().1.meters;
    assert_eq!((meters.retries.get(), meters.in_flight()), (1, 0));
    assert_eq!(ended(&rig, "m"), [(Route::Chat, Outcome::Success, 1)]);
}

#[tokio::test]
async fn the_engine_is_told_who_asks_and_nothing_secret() {
    let address = engine(|mut wire, _| async move {
        let request = wire.request().await.unwrap();
        wire.json(&serde_json::to_string(&request).unwrap()).await;
    })
    .await;
    let rig = Rig::new(&Scheduler::new([address])).await;
    let headers = "x-request-id: trace-7\r\nX-Conversation-Id: c-1\r\nx-api-key: sk-secret\r\n";
    let answer = rig.raw_answer(headers).await;
    assert!(answer.contains("x-request-id: trace-7") && answer.contains("x-conversation-id: c-1"), "{answer}");
    assert!(!answer.contains("sk-secret"), "{answer}");
}

#[tokio::test]
async fn what_a_request_under_way_consists_of_stays_small() {
    let gateway = Gateway::new(Scheduler::new([nowhere().await]), &LimitsConfig::default(), TaskTracker::new());
    let request = http::Request::new(Full::new(Bytes::new()));
    let size = size_of_val(&gateway.handle(request));
    assert!(size <= 6 * 1024, "{size} bytes: is there a future that is moved, or a large one that is not boxed?");
}

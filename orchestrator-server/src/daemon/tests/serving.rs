//! The gateway with the core under it.

use futures_util::StreamExt;
use orchestrator_core::ErrorCode;
use serde_json::json;

use super::rig::*;
use crate::ClientError;

#[tokio::test]
async fn concurrent_requests_start_the_instance_once_and_are_all_answered() {
    let home = Home::new();
    let name = home.instance("a");
    let served = home.serve().await;
    let asks = (0..16).map(|number| {
        let client = if number % 2 == 0 { served.http.clone() } else { served.client.clone() };
        let model = if number % 3 == 0 { "a" } else { "a-alias" };
        async move { client.chat(&json!({"model": model, "n": number})).await.unwrap() }
    });
    let answers = futures_util::future::join_all(asks).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!((answer["asked"]["n"].as_u64(), &answer["pid"]), (Some(number as u64), &answers[0]["pid"]));
    }
    assert_eq!(served.client.describe(&name).await.unwrap().requests_in_flight, 0);
    let models = served.http.served_models().await.unwrap();
    assert_eq!(models["data"][0]["id"], "a");
    served.end().await;
}

#[tokio::test]
async fn a_stream_passes_and_one_whose_engine_dies_ends_with_a_problem_and_the_next_is_served_again() {
    let home = Home::new();
    let name = home.instance("a");
    let served = home.serve().await;
    let chunks: Vec<_> = served.http.chat_stream(&json!({"model": "a"})).await.unwrap().collect().await;
    assert_eq!(chunks.into_iter().map(|chunk| chunk.unwrap()["n"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    let mut chunks = served.http.chat_stream(&json!({"model": "a", "die": true})).await.unwrap();
    let mut last = None;
    while let Some(chunk) = tokio::time::timeout(SOON, chunks.next()).await.unwrap() {
        last = Some(chunk);
    }
    let error = last.unwrap().unwrap_err();
    assert!(matches!(&error, ClientError::Problem(problem) if problem.code == ErrorCode::UpstreamFailed), "{error:?}");
    // It comes back by its restart policy; until then requests are told when to return.
    wait_until("the engine's return", async || served.http.chat(&json!({"model": "a"})).await.is_ok()).await;
    assert!(served.client.describe(&name).await.unwrap().summary.restarts >= 1);
    served.end().await;
}

#[tokio::test]
async fn a_name_that_nobody_has_is_404_with_the_nearest() {
    let home = Home::new();
    home.instance("qwen3-8b");
    let served = home.serve().await;
    let error = served.http.chat(&json!({"model": "qwen3-8"})).await.unwrap_err();
    let ClientError::Problem(problem) = error else { panic!("{error:?}") };
    assert_eq!((problem.status, problem.code), (404, ErrorCode::ModelUnknown));
    assert!(problem.title.contains("`qwen3-8b`"), "{problem}");
    served.end().await;
}

#[tokio::test]
async fn a_request_that_meets_a_killed_engine_is_answered_by_the_next_one() {
    let home = Home::new();
    let name = home.instance("a");
    let served = home.serve().await;
    let first = served.http.chat(&json!({"model": "a"})).await.unwrap()["pid"].clone();
    let pid = served.client.describe(&name).await.unwrap().summary.pid.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let second = tokio::time::timeout(SOON, served.http.chat(&json!({"model": "a"}))).await.unwrap().unwrap()["pid"].clone();
    assert_ne!(first, second);
    served.end().await;
}

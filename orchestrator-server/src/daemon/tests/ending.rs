//! How a daemon ends.

use futures_util::StreamExt;
use orchestrator_core::orchestrator::ShutdownMode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{DaemonEnd, DaemonFile};
use super::rig::*;
use crate::api::ShutdownRequest;

#[tokio::test]
async fn a_client_may_ask_for_the_end_and_then_nothing_is_left() {
    let home = Home::new();
    let name = home.instance("a");
    let served = home.serve().await;
    let pid = served.client.up_and_wait(&name).await.unwrap().pid.unwrap();
    let mut events = served.client.follow_new_events().await.unwrap();
    let mut idle = served.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();

    served.client.shutdown(ShutdownRequest { stop_instances: true }).await.unwrap();
    let end = tokio::time::timeout(SOON, served.daemon.wait_end()).await.unwrap();
    assert!(matches!(end, DaemonEnd::Asked(ShutdownRequest { stop_instances: true })), "{end:?}");
    served.end().await;

    while let Some(event) = tokio::time::timeout(SOON, events.next()).await.unwrap() {
        event.unwrap();
    }
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(!home.paths.socket().exists() && DaemonFile::read(&home.paths).is_none());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the engine is still there");
    home.serve().await.end().await;
}

#[tokio::test]
async fn servers_that_are_left_running_are_taken_over_by_the_next_daemon() {
    let home = Home::new();
    let name = home.instance("a");
    let served = home.serve().await;
    let pid = served.client.up_and_wait(&name).await.unwrap().pid;
    let problems = served.daemon.shutdown(ShutdownMode::LeaveRunning).await;
    assert!(problems.is_empty(), "{problems:?}");
    let served = home.serve().await;
    assert_eq!(served.client.up_and_wait(&name).await.unwrap().pid, pid);
    assert_eq!(served.http.chat(&json!({"model": "a"})).await.unwrap()["pid"].as_u64(), pid.map(u64::from));
    served.end().await;
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_after_the_drain() {
    let home = Home::new();
    home.instance("a");
    let served = home.serve().await;
    let mut chunks = served.http.chat_stream(&json!({"model": "a", "hang": true})).await.unwrap();
    assert!(chunks.next().await.unwrap().is_ok());
    served.end().await;
    while let Some(chunk) = tokio::time::timeout(SOON, chunks.next()).await.unwrap() {
        if chunk.is_err() {
            return;
        }
    }
}

//! One daemon takes the place of another. Both are in this process; successors that fail need processes of their own
//! (`tests/it/handover.rs`).

use futures_util::StreamExt;
use orchestrator_core::ErrorCode;
use orchestrator_core::orchestrator::ShutdownMode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{DaemonEnd, take_over};
use super::rig::*;

fn chat_by_hand(body: &serde_json::Value) -> String {
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn what_had_begun_goes_on_and_what_comes_is_answered_by_the_successor() {
    let home = Home::new();
    let name = home.instance("a");
    let first = home.serve().await;
    let pid = first.client.up_and_wait(&name).await.unwrap().pid.unwrap();
    let endpoint = first.daemon.endpoint().to_owned();
    let mut chunks = first.http.chat_stream(&json!({"model": "a", "hang": true})).await.unwrap();
    assert!(chunks.next().await.unwrap().is_ok());
    let mut events = first.client.follow_events(0).await.unwrap();

    let (second, asked) = tokio::join!(home.succeed(), async {
        // Some of these meet the first daemon, some the second, and some wait for the outcome.
        let mut answers = Vec::new();
        for n in 0..40 {
            answers.push(first.http.chat(&json!({"model": "a", "n": n})).await.unwrap());
        }
        answers
    });
    assert!(asked.iter().all(|answer| answer["pid"] == pid), "{asked:?}");
    let end = tokio::time::timeout(SOON, first.daemon.wait_end()).await.unwrap();
    assert!(matches!(end, DaemonEnd::Replaced { .. }), "{end:?}");
    assert_eq!(second.daemon.endpoint(), endpoint);
    assert_eq!(second.client.describe(&name).await.unwrap().summary.pid, Some(pid));

    // The stream goes on where it was.
    assert!(chunks.next().await.unwrap().is_ok());
    // A stream of events goes on with those of the successor.
    let from_second = second.client.last_events(1).await.unwrap()[0].sequence;
    let mut seen = 0;
    while seen < from_second {
        let event = tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.sequence, seen + 1, "an event is missing or came twice: {event:?}");
        seen = event.sequence;
    }
    drop((chunks, events));
    tokio::time::timeout(SOON, first.daemon.drain()).await.unwrap();
    assert!(home.paths.socket().exists());
    assert_eq!(second.http.chat(&json!({"model": "a"})).await.unwrap()["pid"], pid);
    second.end().await;
    assert!(!home.paths.socket().exists());
}

#[tokio::test]
async fn a_request_on_an_old_connection_is_passed_on_with_its_body_and_answered_as_it_would_be() {
    let home = Home::new();
    home.instance("a");
    let first = home.serve().await;
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(first.connect().await);
    }
    let second = home.succeed().await;
    let [control, listing, missing, chat] = &mut connections[..] else { unreachable!() };
    for (connection, request, expected) in [
        (control, "GET /api/v1/instances/a HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), ["200 OK", "\"summary\""]),
        (listing, "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-request-id: mine\r\n\r\n".to_owned(), ["200 OK", "mine"]),
        (missing, chat_by_hand(&json!({"model": "b"})), ["404 Not Found", "model.unknown"]),
        (chat, chat_by_hand(&json!({"model": "a", "stream": true})), ["200 OK", "[DONE]"]),
    ] {
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(SOON, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.contains("connection: close") && expected.iter().all(|part| answer.contains(part)), "{answer}");
    }
    // Who may ask is decided where the connection leads.
    let mut forged = first.daemon.endpoint().strip_prefix("http://").map(TcpStream::connect).unwrap().await.unwrap();
    forged.write_all(b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    forged.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    first.daemon.drain().await;
    second.end().await;
}

#[tokio::test]
async fn a_daemon_that_was_replaced_leaves_the_home_alone_when_it_is_told_to_end() {
    let home = Home::new();
    let name = home.instance("a");
    let first = home.serve().await;
    first.client.up_and_wait(&name).await.unwrap();
    let second = home.succeed().await;
    let problems = first.daemon.shutdown(ShutdownMode::StopAll).await;
    assert!(problems.is_empty(), "{problems:?}");
    assert!(second.client.describe(&name).await.unwrap().summary.pid.is_some());
    second.end().await;
}

#[tokio::test]
async fn who_cannot_be_replaced_says_so_and_where_nobody_is_nobody_is_replaced() {
    let home = Home::new();
    assert!(take_over(&home.paths).await.unwrap().is_none());
    let first = home.serve().await;
    let second = home.succeed().await;
    first.daemon.drain().await;
    let problem = take_over(&home.paths).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::DaemonBusy);
    assert_eq!(second.client.health().await.unwrap().status, "ok");
    second.end().await;
}

#[tokio::test]
async fn a_request_that_waits_for_its_model_gets_its_place_from_the_successor() {
    let home = Home::new();
    let name = home.instance("a");
    let first = home.serve().await;
    let body = json!({"model": "a", "hang": true});
    let (answer, second) = tokio::join!(first.http.chat_stream(&body), async {
        wait_until("the start", async || first.client.describe(&name).await.unwrap().state.name() != "stopped").await;
        home.succeed().await
    });
    let mut chunks = answer.unwrap();
    assert!(chunks.next().await.unwrap().is_ok());
    let under_way = async || second.client.describe(&name).await.unwrap().requests_in_flight;
    assert_eq!(under_way().await, 1, "the successor does not know of the request");
    drop(chunks);
    wait_until("the place is given back", async || under_way().await == 0).await;
    first.daemon.drain().await;
    second.end().await;
}

#[tokio::test]
async fn neither_the_home_nor_a_place_is_given_to_whoever_comes_over_tcp() {
    let home = Home::new();
    home.instance("a");
    let served = home.serve().await;
    let host = served.daemon.endpoint().strip_prefix("http://").unwrap().to_owned();
    for path in ["/api/v1/handover", "/api/v1/leases"] {
        let upgrade = "connection: upgrade\nupgrade: orchestrator-handover/1";
        let request = format!(
            "POST {path} HTTP/1.1\nhost: {host}\n{upgrade}\ncontent-type: application/json\ncontent-length: 13\n\n{{\"model\":\"a\"}}"
        );
        let mut stream = served.connect().await;
        stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"HTTP/1.1 404", "{path}");
    }
    served.end().await;
}

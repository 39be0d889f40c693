//! How answers are read; the calls themselves are tested against the daemon.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use http::StatusCode;
use orchestrator_core::error::Coded;
use orchestrator_core::{ErrorCode, Problem};

use super::*;

#[test]
fn a_refusal_is_read_whoever_wrote_it() {
    let problem = serde_json::to_vec(&Problem::new(ErrorCode::InstanceUnknown, "there is no instance `a`")).unwrap();
    for (body, expected) in [
        (problem.as_slice(), ErrorCode::InstanceUnknown),
        (br#"{"error":{"message":"m","type":"t","code":"model.unknown","param":null}}"#, ErrorCode::ModelUnknown),
        (br#"{"error":{"message":"an engine's own","code":400}}"#, ErrorCode::UpstreamFailed),
        (br#"{"error":{"message":"an engine's own","code":"a code of the future"}}"#, ErrorCode::UpstreamFailed),
        (b"<html>", ErrorCode::DaemonUnreachable),
        (b"", ErrorCode::DaemonUnreachable),
        (b"{\"error\":\"\x1b[31m\"}", ErrorCode::DaemonUnreachable),
    ] {
        let error = error::refusal("here", StatusCode::NOT_FOUND, body);
        assert_eq!(error.code(), expected, "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}

#[test]
fn the_daemons_problem_passes_unchanged() {
    let mut problem = Problem::new(ErrorCode::InstanceStartFailed, "the server of `a` failed").with_cause("it exited").with_hint("look");
    problem.stderr_tail = vec!["boom".to_owned()];
    let error = error::refusal("here", StatusCode::BAD_GATEWAY, &serde_json::to_vec(&problem).unwrap());
    assert_eq!(error.into_problem(), problem);
}

#[test]
fn a_query_holds_any_text() {
    assert_eq!(control::escape("file:/m/ä b&c=%?#.gguf"), "file%3A/m/%C3%A4%20b%26c%3D%25%3F%23.gguf");
}

#[tokio::test]
async fn an_event_without_end_is_cut_off() {
    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::http(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let writer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ").await.unwrap();
        let junk = [b'x'; 16 * 1024];
        while stream.write_all(&junk).await.is_ok() {}
    });
    let mut events = client.follow_events(0).await.unwrap();
    let error = events.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    drop(events);
    writer.await.unwrap();
}

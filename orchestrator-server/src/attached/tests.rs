#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

fn post(body: &'static [u8]) -> Request<Bytes> {
    Request::post("/v1/x").header("host", "engine").body(Bytes::from_static(body)).unwrap()
}

/// Reads until what came ends like this.
async fn read_until(stream: &mut DuplexStream, end: &[u8]) -> Vec<u8> {
    let mut came = Vec::new();
    while !came.ends_with(end) {
        came.push(stream.read_u8().await.unwrap());
    }
    came
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let (near, mut far) = duplex(64);
    let mut connection = Attached::open(near);
    for number in 0..3 {
        assert!(connection.is_usable().await, "{number}");
        let engine = async {
            read_until(&mut far, b"hello").await;
            far.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(connection.send(post(b"hello")), engine);
        let mut body = AttachedBody::new(connection, answer.unwrap().into_body());
        assert_eq!((&mut body).collect().await.unwrap().to_bytes(), "onetwo");
        assert!(body.is_end_stream());
        connection = body.into_connection();
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_trusted_is_not_used_again() {
    for (answer, is_read) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
    ] {
        let (near, mut far) = duplex(1024);
        let mut connection = Attached::open(near);
        far.write_all(answer.as_bytes()).await.unwrap();
        let head = connection.send(post(b"hello")).await.unwrap();
        let mut body = AttachedBody::new(connection, head.into_body());
        if is_read {
            assert_eq!((&mut body).collect().await.unwrap().to_bytes(), "ok");
        }
        assert!(!body.into_connection().is_usable().await, "{answer}");
    }
    let (near, far) = duplex(1024);
    let mut connection = Attached::open(near);
    assert!(connection.is_usable().await);
    drop(far);
    assert!(!connection.is_usable().await);
}

#[tokio::test]
async fn what_ends_early_is_an_error() {
    for (answer, expected) in [
        ("", "before there was an answer"),
        ("HTTP/1.1 200", "before there was an answer"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "before the end"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok", "before the end"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", "before the end"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nok\r\n", "broken"),
        ("SSH-2.0-OpenSSH\r\n", "no HTTP"),
    ] {
        let (near, mut far) = duplex(1024);
        far.write_all(answer.as_bytes()).await.unwrap();
        let mut connection = Attached::open(near);
        let exchange = async {
            let head = connection.send(post(b"hello")).await?;
            AttachedBody::new(connection, head.into_body()).collect().await.map(|_| ())
        };
        let ends = async {
            read_until(&mut far, b"hello").await;
            drop(far);
        };
        let (outcome, ()) = tokio::join!(exchange, ends);
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(expected), "{answer}: {error}");
    }
}

#[tokio::test]
async fn an_answer_without_a_length_goes_on_to_the_end_of_the_connection() {
    let (near, mut far) = duplex(1024);
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of this").await.unwrap();
    far.shutdown().await.unwrap();
    let mut connection = Attached::open(near);
    let head = connection.send(post(b"x")).await.unwrap();
    assert_eq!(AttachedBody::new(connection, head.into_body()).collect().await.unwrap().to_bytes(), "all of this");
}

#[tokio::test]
async fn an_engine_that_answers_before_it_has_read_all_is_heard() {
    let (near, mut far) = duplex(64);
    let mut connection = Attached::open(near);
    far.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let body = Bytes::from(vec![b'x'; 10_000]);
    let request = Request::post("/v1/x").body(body).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), connection.send(request)).await.unwrap().unwrap();
    assert_eq!(answer.status(), 413);
    assert!(!connection.is_usable().await);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_refused() {
    let (near, mut far) = duplex(1024);
    let mut connection = Attached::open(near);
    let endless = async {
        let _ = far.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while far.write_all(&[b'a'; 512]).await.is_ok() {}
    };
    let answer = async {
        let error = connection.send(post(b"x")).await.unwrap_err();
        drop(connection);
        error
    };
    let (error, ()) = tokio::join!(answer, endless);
    assert!(matches!(error, WireError::HeadTooLong), "{error}");
}

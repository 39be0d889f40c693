//! Clients that go, engines that stall, lie and die.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::rig::*;

/// A client's leaving must reach the engine within this.
const PROMPTLY: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_client_that_goes_before_the_answer_ends_the_engines_work() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let (over, mut is_over) = mpsc::unbounded_channel();
    let address = engine(move |mut wire, _| {
        let (begun, over) = (begun.clone(), over.clone());
        async move {
            wire.request().await.unwrap();
            begun.send(()).unwrap();
            over.send(wire.closed().await).unwrap();
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    for _ in 0..20 {
        let client = rig.raw_chat().await;
        has_begun.recv().await.unwrap();
        drop(client);
        assert!(is_over.recv().await.unwrap() < PROMPTLY);
    }
    scheduler.until_free().await;
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_a_stream_ends_the_engines_work() {
    let (over, mut is_over) = mpsc::unbounded_channel();
    let (gone, client_gone) = tokio::sync::watch::channel(0_usize);
    let address = engine(move |mut wire, number| {
        let (over, mut client_gone) = (over.clone(), client_gone.clone());
        async move {
            wire.request().await.unwrap();
            wire.begin_stream().await;
            wire.chunk("data: {}\n\n").await;
            client_gone.wait_for(|gone| *gone > number).await.unwrap();
            over.send(wire.closed().await).unwrap();
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    for number in 0..20 {
        let mut client = rig.raw_chat().await;
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("data: {}") {
            client.read_buf(&mut seen).await.unwrap();
        }
        drop(client);
        gone.send_replace(number + 1);
        assert!(is_over.recv().await.unwrap() < PROMPTLY);
    }
    scheduler.until_free().await;
}

#[tokio::test]
async fn a_stream_that_the_engine_leaves_ends_with_an_error_event() {
    // A line that was left half said is no event, and would spoil the one that tells of it.
    let long = format!("data: {{\"n\":\"{}", "x".repeat(20_000));
    let cases = [
        ("data: {\"n\":1}\n\n", "data: {\"n\":1}\n\n".to_owned()),
        ("data: {\"n\":1}\n", "data: {\"n\":1}\n\n".to_owned()),
        ("data: {\"n\":", String::new()),
        ("data: {\"n\":1}\n\ndata: {", "data: {\"n\":1}\n\n".to_owned()),
        (long.as_str(), format!("{long}\n\n")),
    ];
    for (written, passed) in cases {
        let written = written.to_owned();
        let address = engine(move |mut wire, _| {
            let written = written.clone();
            async move {
                wire.request().await.unwrap();
                wire.begin_stream().await;
                wire.chunk(&written).await;
                wire.reset();
            }
        })
        .await;
        let scheduler = Scheduler::new([address]);
        let (status, _, answer) = Rig::new(&scheduler).await.chat(MODEL).await;
        assert_eq!(status, 200);
        // The head may have been lost with the connection: then the request was repeated, and the end is the same.
        let event = answer.strip_prefix(&format!("{passed}data: {{\"error\"")).unwrap_or_else(|| panic!("{answer:?}"));
        assert!(event.ends_with("\n\n") && !answer.contains("[DONE]"), "{answer:?}");
        assert!(answer.contains("instance.upstream_failed"), "{answer:?}");
        scheduler.until_free().await;
    }
}

#[tokio::test]
async fn a_stream_that_said_it_is_done_gets_no_error_event() {
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.begin_stream().await;
        wire.chunk("data: [DONE]\n\n").await;
    })
    .await;
    let (_, _, answer) = Rig::new(&Scheduler::new([address])).await.chat(MODEL).await;
    assert_eq!(answer, "data: [DONE]\n\n");
}

#[tokio::test]
async fn a_stream_ends_when_the_engine_is_gone_although_its_connection_stays() {
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.begin_stream().await;
        wire.chunk("data: {}\n\n").await;
        wire.closed().await;
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    let mut client = rig.raw_chat().await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("data: {}") {
        client.read_buf(&mut seen).await.unwrap();
    }
    scheduler.say_gone();
    while !String::from_utf8_lossy(&seen).contains("\"error\"") {
        assert_ne!(tokio::time::timeout(SOON, client.read_buf(&mut seen)).await.unwrap().unwrap(), 0);
    }
    scheduler.until_free().await;
}

#[tokio::test]
async fn an_engine_that_dies_before_its_answer_is_whole_is_asked_once_more_and_then_reported() {
    let deaths = [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"a\"",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "nonsense\r\n\r\n",
    ];
    for death in deaths {
        let address = engine(move |mut wire, _| async move {
            wire.request().await.unwrap();
            wire.write(death).await;
        })
        .await;
        let scheduler = Scheduler::new([address]);
        let (status, _, answer) = Rig::new(&scheduler).await.chat(MODEL).await;
        assert_eq!((status, error_of(&answer)["code"].as_str()), (502, Some("instance.upstream_failed")), "{death:?}");
        assert_eq!((scheduler.admitted(), scheduler.held()), (2, 0), "{death:?}");
    }
}

#[tokio::test]
async fn a_request_that_reached_nobody_is_sent_to_the_new_server() {
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.json("{}").await;
    })
    .await;
    let scheduler = Scheduler::new([nowhere().await, address]);
    scheduler.say_gone();
    let (status, _, answer) = Rig::new(&scheduler).await.chat(MODEL).await;
    assert_eq!((status, answer.as_str()), (200, "{}"));
}

#[tokio::test]
async fn a_server_that_stays_away_is_503_with_a_time_to_come_back() {
    let scheduler = Scheduler::new([nowhere().await]);
    let (status, headers, answer) = Rig::new(&scheduler).await.chat(MODEL).await;
    assert_eq!((status, error_of(&answer)["code"].as_str()), (503, Some("instance.unavailable")));
    assert!(headers.contains_key("retry-after"));
    assert_eq!((scheduler.admitted(), scheduler.held()), (2, 0));
}

#[tokio::test]
async fn an_engine_that_does_not_answer_in_time_is_504_and_is_left_at_once() {
    let (over, mut is_over) = mpsc::unbounded_channel();
    let address = engine(move |mut wire, _| {
        let over = over.clone();
        async move {
            wire.request().await.unwrap();
            wire.closed().await;
            over.send(()).unwrap();
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let (status, _, answer) = Rig::with_first_byte(&scheduler, 50).await.chat(MODEL).await;
    assert_eq!((status, error_of(&answer)["code"].as_str()), (504, Some("instance.upstream_timeout")));
    is_over.recv().await.unwrap();
    assert_eq!(scheduler.admitted(), 1, "a slow request is not repeated");
}

#[tokio::test]
async fn an_engine_that_falls_silent_in_a_stream_is_left() {
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.begin_stream().await;
        wire.chunk("data: {}\n\n").await;
        wire.closed().await;
    })
    .await;
    let silence = orchestrator_core::config::ConfigDuration::from_millis(100);
    let scheduler = Scheduler::with_spec([address], |spec| spec.server.timeout = silence);
    let (status, _, answer) = Rig::new(&scheduler).await.chat(MODEL).await;
    assert!(status == 200 && answer.contains("instance.upstream_timeout"), "{answer:?}");
    scheduler.until_free().await;
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.write("HTTP/1.1 200 OK\r\nx: ").await;
        let junk = [b'x'; 16 * 1024];
        while wire.0.write_all(&junk).await.is_ok() {}
    })
    .await;
    let (status, _, _) = Rig::new(&Scheduler::new([address])).await.chat(MODEL).await;
    assert_eq!(status, 502);
}

#[tokio::test]
async fn a_stream_with_broken_chunks_ends_with_an_error_event() {
    let address = engine(|mut wire, _| async move {
        wire.request().await.unwrap();
        wire.begin_stream().await;
        wire.chunk("data: {}\n\n").await;
        wire.write("zz\r\n").await;
        wire.closed().await;
    })
    .await;
    let (_, _, answer) = Rig::new(&Scheduler::new([address])).await.chat(MODEL).await;
    assert!(answer.contains("data: {}\n\ndata: {\"error\""), "{answer:?}");
}

#[tokio::test]
async fn an_engines_own_errors_pass() {
    let address = engine(|mut wire, _| async move {
        while wire.request().await.is_some() {
            wire.write(
                "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"error\":\"mine\"}",
            )
            .await;
        }
    })
    .await;
    let scheduler = Scheduler::new([address]);
    let (status, _, answer) = Rig::new(&scheduler).await.chat(MODEL).await;
    assert_eq!((status, answer.as_str()), (500, r#"{"error":"mine"}"#));
    assert_eq!(scheduler.admitted(), 1);
}

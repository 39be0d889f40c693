//! Somebody takes the port between our choice and the engine's bind, and answers 200 to everything.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::{chat, pause, pid_in, wait_for};
use super::{Row, Stage};
use crate::Behaviour;

pub(super) const ROW: Row = Row {
    number: 7,
    fault: "a squatter takes the port between choice and bind and answers 200",
    holds: "no request goes to it, a new port is taken",
    count: 200,
    prepare: |_| {},
    round,
};

/// Answers 200 to everything, and counts what was meant for a model.
struct Squatter {
    requests: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    port: u16,
}

impl Squatter {
    fn take(port: u16) -> Option<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
        let squatter = Self { requests: Arc::default(), ending: Arc::default(), port };
        let (requests, ending) = (Arc::clone(&squatter.requests), Arc::clone(&squatter.ending));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let requests = Arc::clone(&requests);
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.take(1 << 16));
                    let mut line = String::new();
                    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
                        if line.starts_with("POST") {
                            requests.fetch_add(1, Ordering::SeqCst);
                        }
                        if line == "\r\n" {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsquatter";
                            let _ = reader.get_mut().get_mut().write_all(answer);
                        }
                        line.clear();
                    }
                });
            }
        });
        Some(squatter)
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = std::net::TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn prepare(stage: &mut Stage<'_>) {
    let behaviour =
        Behaviour { bind_ms: 100 + stage.random.below(300), ignore_sigterm: stage.random.below(2) == 0, ..Behaviour::default() };
    stage.home.write_config("demo", &stage.home.config("demo", &behaviour));
}

fn round(stage: &mut Stage<'_>) {
    prepare(stage);
    let endpoint = stage.home.endpoint();
    stage.home.orch(&["up", "--no-wait", "demo"]).assert_ok();
    let found = wait_for(&endpoint, "demo", "its port is known", |found| pid_in(found).is_some());
    let (port, pid) = (port_in(&found), pid_in(&found));
    pause(stage.random.up_to_ms(60));
    let squatter = Squatter::take(port).expect("the engine does not listen yet");
    let begun = Instant::now();
    let answers: Vec<_> = (0..3)
        .map(|_| {
            let endpoint = endpoint.clone();
            thread::spawn(move || chat(&endpoint, "demo", "hello", false).unwrap().json())
        })
        .collect();
    wait_for(&endpoint, "demo", "it has another port", |found| pid_in(found).is_some_and(|new| Some(new) != pid) && port_in(found) != port);
    let moved_after = begun.elapsed();
    let found = wait_for(&endpoint, "demo", "it is ready", |found| found["summary"]["state"] == "ready");
    for answer in answers {
        let answer: Value = answer.join().unwrap();
        // Who was told to come back later was not given to the squatter either.
        assert!(answer["choices"].is_array() || answer["error"].is_object(), "{answer}");
    }
    assert_eq!(chat(&endpoint, "demo", "hello", false).unwrap().status, 200);
    assert_eq!(squatter.requests.load(Ordering::SeqCst), 0, "the squatter got requests");
    assert_ne!(port_in(&found), port);
    stage.timed("a new port", Duration::from_secs(1), moved_after);
    drop(squatter);
    stage.home.orch(&["down", "demo"]).assert_ok();
}

fn port_in(description: &Value) -> u16 {
    description["summary"]["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default()
}

//! Clients go away at random times: in the middle of their request, before the answer, in the middle of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::random::Random;
use super::stage::{CHAT, chat, chat_body, describe, notes, pause, timing, wait_ready};
use super::{Row, Stage};
use crate::home::SOON;
use crate::{Behaviour, TestHome, wait_until};

pub(super) const ROW: Row = Row {
    number: 16,
    fault: "clients that go away at random times",
    holds: "the engine sees it, nothing stays under way, places come back",
    count: 1_000,
    prepare,
    round,
};

const REQUESTS: &str = "requests";
const ABORTS: &str = "aborts";
/// How many requests the engine is given at a time.
const PLACES: u32 = 4;

fn prepare(home: &TestHome) {
    let behaviour = Behaviour {
        first_byte_ms: 30,
        chunks: 400,
        chunk_ms: 5,
        requests_file: Some(home.path().join(REQUESTS)),
        aborts_file: Some(home.path().join(ABORTS)),
        ..Behaviour::default()
    };
    let mut config = home.config("demo", &behaviour);
    config["concurrency"] = PLACES.into();
    home.write_config("demo", &config);
    home.add("quick", &Behaviour { chunks: 1, ..Behaviour::default() });
    home.orch(&["up", "demo", "quick"]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let endpoint = stage.home.endpoint();
    wait_ready(&endpoint, "demo");
    let clients: Vec<_> = (0..=stage.random.below(5))
        .map(|_| {
            let (endpoint, random) = (endpoint.clone(), stage.random.fork());
            thread::spawn(move || go_away(&endpoint, random))
        })
        .collect();
    let left: BTreeMap<String, u64> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let ((), quiet_after) = timing(|| {
        let nothing = || describe(&endpoint, "demo")["requests_in_flight"] == 0;
        wait_until("nothing is under way", SOON, || nothing().then_some(()));
    });
    stage.timed("nothing under way", Duration::from_millis(200), quiet_after);
    let arrived = notes(stage.home, REQUESTS);
    for (tag, left_at) in left {
        // It may have gone before its turn came.
        if !arrived.contains(&tag) {
            continue;
        }
        let seen_at: u64 = wait_until(&format!("the engine sees that `{tag}` is gone"), SOON, || {
            let aborts = notes(stage.home, ABORTS);
            aborts.iter().find_map(|line| line.strip_prefix(&format!("{tag} "))?.parse().ok())
        });
        stage.timed("seen by the engine", Duration::from_millis(100), Duration::from_micros(seen_at.saturating_sub(left_at)));
    }
    let (answer, took) = timing(|| chat(&endpoint, "quick", "hello", false).unwrap());
    assert_eq!(answer.status, 200);
    stage.timed("another's answer", None, took);
}

/// Sends a request and goes away in the middle of it all. Returns its tag and when it went.
fn go_away(endpoint: &str, mut random: Random) -> (String, u64) {
    let kind = ["body", "head", "answer", "whole"][random.index(4)];
    let tag = format!("{kind}-{}", random.next());
    match kind {
        "body" => {
            let mut stream = TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
            let body = chat_body("demo", &tag, true).to_string();
            let head = format!(
                "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let half = &body.as_bytes()[..random.index(body.len())];
            stream.write_all(&[head.as_bytes(), half].concat()).unwrap();
            pause(random.up_to_ms(30));
        }
        "head" => {
            let mut stream = TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
            let body = chat_body("demo", &tag, true).to_string();
            let head = format!(
                "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
            // The engine answers after 30 ms.
            pause(random.up_to_ms(60));
        }
        "answer" => {
            let mut answer = chat(endpoint, "demo", &tag, true).unwrap();
            for _ in 0..random.below(8) {
                answer.next_piece().unwrap();
            }
            pause(random.up_to_ms(10));
        }
        _ => {
            let mut answer = chat(endpoint, "demo", &tag, true).unwrap();
            answer.next_piece().unwrap();
        }
    }
    // What the streams hold is closed here.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (tag, u64::try_from(now.as_micros()).unwrap_or_default())
}

//! Clients that do not read: the daemon holds little for them, whatever the engine sends.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use orchestrator_tests::behaviour::BadAnswer;
use orchestrator_tests::home::SOON;
use orchestrator_tests::{Behaviour, TestHome, wait_until};
use serde_json::json;

/// How many clients there are at a time.
const CLIENTS: u64 = 200;
/// What one of them may cost, in KiB.
const EACH_KIB: u64 = 32;
/// The same where the engine floods it, so that every buffer on the way is full.
const FLOODED_KIB: u64 = 96;
/// What the daemon may grow by beside them: threads, tables, what the allocator keeps.
const BESIDE_KIB: u64 = 2 * 1024;

fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Asks for a stream and does not read it.
fn ask(endpoint: &str, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
    let body = json!({ "model": name, "stream": true, "messages": [{ "role": "user", "content": "hello" }] }).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    stream
}

/// The most memory that the daemon has until it has not grown for a second.
fn settled_kib(daemon: u32) -> u64 {
    let mut most = memory_kib(daemon);
    let mut calm = 0;
    wait_until("the daemon's memory settles", SOON * 3, || {
        std::thread::sleep(Duration::from_millis(50));
        let now = memory_kib(daemon);
        calm = if now > most { 0 } else { calm + 1 };
        most = most.max(now);
        (calm >= 20).then_some(most)
    })
}

#[track_caller]
fn holds(behaviour: &Behaviour, each_kib: u64) {
    let home = TestHome::new();
    let mut config = home.config("mine", behaviour);
    // Two hundred streams are a lot for the engine that makes them.
    config["healthcheck"] = json!({ "interval": "60s", "timeout": "30s", "start_period": "30s" });
    home.write_config("mine", &config);
    home.orch(&["up", "mine"]).assert_ok();
    let (endpoint, daemon) = (home.endpoint(), home.daemon_pid());
    let in_flight = || home.json(&["describe", "mine"])["requests_in_flight"].as_u64().unwrap();
    // What is made once, is made now.
    let first: Vec<_> = (0..8).map(|_| ask(&endpoint, "mine")).collect();
    wait_until("the first are under way", SOON, || (in_flight() == 8).then_some(()));
    drop(first);
    wait_until("the first are gone", SOON, || (in_flight() == 0).then_some(()));
    let before = memory_kib(daemon);
    let clients: Vec<_> = (0..CLIENTS).map(|_| ask(&endpoint, "mine")).collect();
    wait_until("all are under way", SOON, || (in_flight() == CLIENTS).then_some(()));
    let growth = settled_kib(daemon).saturating_sub(before);
    assert!(growth <= CLIENTS * each_kib + BESIDE_KIB, "{growth} KiB for {CLIENTS} clients: {} each", growth / CLIENTS);
    assert_eq!(in_flight(), CLIENTS, "nobody was sent away");
    drop(clients);
    wait_until("nothing is under way", SOON, || (in_flight() == 0).then_some(()));
}

#[test]
fn two_hundred_clients_that_do_not_read_a_stream_of_tokens_hold_little_memory() {
    holds(&Behaviour { chunks: 1_000_000, ..Behaviour::default() }, EACH_KIB);
}

#[test]
fn two_hundred_clients_that_do_not_read_an_endless_line_hold_little_memory() {
    holds(&Behaviour { bad_answer: Some(BadAnswer::EndlessLine), ..Behaviour::default() }, FLOODED_KIB);
}

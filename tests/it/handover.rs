//! `orch daemon restart`: one daemon takes the place of another, or does not.

use std::fs;
use std::time::Duration;

use orchestrator_tests::home::SOON;
use orchestrator_tests::processes::{is_alive, kill};
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

fn body(model: &str, stream: bool) -> Vec<u8> {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello" }] }).to_string().into_bytes()
}

#[test]
fn where_no_daemon_runs_one_is_started() {
    let home = TestHome::new();
    let outcome = home.orch(&["daemon", "restart"]).assert_ok();
    assert!(outcome.stderr.contains("No daemon was running"), "{outcome:?}");
    assert!(is_alive(home.daemon_pid()));
}

#[test]
fn the_one_before_is_shown_until_its_last_stream_ends_and_keeps_its_server_loaded() {
    let home = TestHome::new();
    let mut config = home.config("slow", &Behaviour { chunks: 400, chunk_ms: 10, ..Behaviour::default() });
    config["ttl"] = "1s".into();
    home.write_config("slow", &config);
    home.orch(&["up", "slow"]).assert_ok();
    let (first, server, endpoint) = (home.daemon_pid(), home.pid("slow"), home.endpoint());
    let mut stream = http::send(&endpoint, "POST", CHAT, &body("slow", true)).unwrap();
    stream.next_piece().unwrap();

    let status = home.json(&["daemon", "restart"]);
    assert_eq!(status["endpoint"], endpoint.as_str());
    assert_ne!(status["pid"], first);
    let shown = home.json(&["daemon", "status"]);
    assert_eq!((&shown["draining"][0]["pid"], &shown["draining"][0]["requests"]["slow"]), (&first.into(), &1.into()), "{shown}");
    let text = home.orch(&["daemon", "status"]).assert_ok();
    assert!(text.stderr.contains(&format!("Process {first}")) && text.stderr.contains("1 requests"), "{text:?}");

    // Longer than its `ttl`: it would be unloaded, were it not for the stream.
    let text = stream.text().unwrap();
    assert!(text.contains("[DONE]") && !text.contains("\"error\""), "{text}");
    wait_until("the one before is gone", SOON, || (!is_alive(first)).then_some(()));
    // And now it is idle.
    home.wait_for_row("slow", "it is unloaded", |row| row["state"] == "stopped");
    assert!(!is_alive(server));
    assert_eq!(home.json(&["daemon", "status"]).get("draining"), None);
}

#[test]
fn the_end_of_everything_is_also_that_of_the_one_before() {
    let home = TestHome::new();
    home.add("slow", &Behaviour { chunks: 4_000, chunk_ms: 10, ..Behaviour::default() });
    home.orch(&["up", "slow"]).assert_ok();
    let endpoint = home.endpoint();
    let mut stream = http::send(&endpoint, "POST", CHAT, &body("slow", true)).unwrap();
    stream.next_piece().unwrap();
    home.orch(&["daemon", "restart"]).assert_ok();
    home.orch(&["daemon", "stop", "--all"]).assert_ok();
    wait_until("nothing runs any more", Duration::from_secs(5), || home.processes().is_empty().then_some(()));
    assert!(fs::read_dir(home.path().join("state/draining")).unwrap().next().is_none());
}

#[test]
fn one_that_was_killed_while_it_drained_is_forgotten() {
    let home = TestHome::new();
    home.add("slow", &Behaviour { chunks: 4_000, chunk_ms: 10, ..Behaviour::default() });
    home.orch(&["up", "slow"]).assert_ok();
    let (first, server) = (home.daemon_pid(), home.pid("slow"));
    let mut stream = http::send(&home.endpoint(), "POST", CHAT, &body("slow", true)).unwrap();
    stream.next_piece().unwrap();
    home.orch(&["daemon", "restart"]).assert_ok();
    kill(first);
    wait_until("it is not shown any more", SOON, || home.json(&["daemon", "status"]).get("draining").is_none().then_some(()));
    assert_eq!(home.pid("slow"), server);
    home.orch(&["down", "slow"]).assert_ok();
    wait_until("only the daemon runs", SOON, || (home.processes().len() == 1).then_some(()));
}

#[test]
fn restarts_one_after_the_other_end_the_daemons_in_between() {
    let home = TestHome::new();
    home.add("demo", &Behaviour { chunks: 200, chunk_ms: 10, ..Behaviour::default() });
    home.orch(&["up", "demo"]).assert_ok();
    let (endpoint, server) = (home.endpoint(), home.pid("demo"));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = http::send(&endpoint, "POST", CHAT, &body("demo", true)).unwrap();
        stream.next_piece().unwrap();
        streams.push(stream);
        home.orch(&["daemon", "restart"]).assert_ok();
    }
    assert_eq!(home.json(&["daemon", "status"])["draining"].as_array().unwrap().len(), 3);
    for stream in streams {
        assert!(stream.text().unwrap().contains("[DONE]"));
    }
    wait_until("one daemon is left", SOON, || (home.processes().len() == 2).then_some(()));
    assert_eq!(home.pid("demo"), server);
}

#[test]
fn a_configuration_that_cannot_be_used_leaves_the_daemon_as_it_is() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let (daemon, server) = (home.daemon_pid(), home.pid("demo"));
    fs::write(home.path().join("config.yaml"), "limits:\n  first_bite: 3s\n").unwrap();
    home.orch(&["daemon", "restart"]).assert_fails(10, &["first_bite", "first_byte"]);
    assert_eq!((home.daemon_pid(), home.pid("demo")), (daemon, server));
}

#[test]
fn a_port_that_somebody_else_has_leaves_the_daemon_as_it_is() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let (daemon, server, endpoint) = (home.daemon_pid(), home.pid("demo"), home.endpoint());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    fs::write(home.path().join("config.yaml"), format!("gateway:\n  port: {port}\n")).unwrap();
    home.orch(&["daemon", "restart"]).assert_fails(24, &[&port.to_string()]);
    // It went through the whole hand-over and back.
    assert!(home.daemon_log().contains("the home is taken back"));
    assert_eq!((home.daemon_pid(), home.pid("demo"), home.endpoint()), (daemon, server, endpoint.clone()));
    let answer = http::send(&endpoint, "POST", CHAT, &body("demo", false)).unwrap();
    assert_eq!(answer.status, 200);
    drop(taken);
    // With the port free it moves there.
    let status = home.json(&["daemon", "restart"]);
    assert_eq!(status["endpoint"], format!("http://127.0.0.1:{port}"));
    assert_eq!(home.pid("demo"), server);
}

//! `orch model activate`: one model takes the place of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use orchestrator_tests::home::SOON;
use orchestrator_tests::processes::{is_alive, kill};
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use serde_json::json;

use crate::support::chat_status;

#[test]
fn a_switch_drains_the_old_model_and_clients_ask_for_the_runtime() {
    let home = TestHome::new();
    home.add("old", &Behaviour { chunks: 10, chunk_ms: 50, ..Behaviour::default() });
    home.add("new", &Behaviour { load_ms: 200, ..Behaviour::default() });
    home.orch(&["model", "activate", "old"]).assert_ok();
    let endpoint = home.endpoint();
    assert_eq!(chat_status(&endpoint, "llama_cpp"), 200);
    let body = json!({ "model": "llama_cpp", "stream": true, "messages": [{ "role": "user", "content": "x" }] }).to_string();
    let mut stream = http::send(&endpoint, "POST", "/v1/chat/completions", body.as_bytes()).unwrap();
    assert!(stream.next_piece().unwrap().is_some());
    let reader = thread::spawn(move || stream.text().unwrap());
    home.orch(&["model", "activate", "new"]).assert_ok();
    let text = reader.join().unwrap();
    assert!(text.contains("[DONE]") && !text.contains("\"error\""), "the stream was cut: {text}");
    assert_eq!((&home.row("old")["state"], &home.row("new")["state"]), (&json!("stopped"), &json!("ready")));
    assert_eq!(chat_status(&endpoint, "llama_cpp"), 200);
    assert_eq!(home.row("old")["state"], "stopped", "the runtime's name leads to the new one");
}

#[test]
fn a_model_that_does_not_come_up_is_rolled_back() {
    let home = TestHome::new();
    home.add("old", &Behaviour::default());
    home.orch(&["model", "activate", "old"]).assert_ok();
    let broken = Behaviour {
        exit_at_start: Some(orchestrator_tests::behaviour::ExitAtStart { status: 1, stderr: "out of luck\n".to_owned() }),
        ..Behaviour::default()
    };
    home.add("new", &broken);
    home.orch(&["model", "activate", "new"]).assert_fails(21, &["`new`", "`old` runs again"]);
    assert_eq!(home.row("old")["state"], "ready");
    assert_eq!(chat_status(&home.endpoint(), "llama_cpp"), 200);
    home.orch(&["model", "activate", "nobody"]).assert_fails(20, &["nobody"]);
}

/// Begins to switch from `old` to a model that takes for ever to load, and kills the daemon on the way. Returns what asked.
fn interrupted_switch(home: &TestHome) -> std::process::Child {
    home.add("old", &Behaviour::default());
    home.add("new", &Behaviour { load_ms: 200_000, ..Behaviour::default() });
    home.orch(&["model", "activate", "old"]).assert_ok();
    let asking = home.command(&["model", "activate", "new"]).spawn().unwrap();
    home.wait_for_row("new", "it loads", |row| row["state"] == "loading");
    assert_eq!(home.row("old")["state"], "stopped");
    let daemon = home.daemon_pid();
    kill(daemon);
    wait_until("the daemon is gone", SOON, || (!is_alive(daemon)).then_some(()));
    asking
}

#[test]
fn a_switch_that_the_end_of_the_daemon_cuts_short_is_undone_by_the_next_one() {
    let home = TestHome::new();
    let mut asking = interrupted_switch(&home);
    home.wait_for_row("old", "it is back", |row| row["state"] == "ready");
    home.wait_for_row("new", "it is gone", |row| row["state"] == "stopped");
    assert!(!asking.wait().unwrap().success(), "whoever asked is told that it failed");
    assert_eq!(chat_status(&home.endpoint(), "llama_cpp"), 200);
    let told =
        || home.orch(&["events", "--tail", "50"]).assert_ok().stdout.contains("cut short by the end of its daemon; `old` runs again");
    wait_until("it is told", SOON, || told().then_some(()));
    // It is undone once: another daemon has nothing to undo.
    home.orch(&["down", "old"]).assert_ok();
    home.orch(&["daemon", "stop"]).assert_ok();
    assert_eq!(home.row("old")["state"], "stopped");
    home.add("fast", &Behaviour::default());
    home.orch(&["model", "activate", "fast"]).assert_ok();
}

#[test]
fn all_servers_that_are_ended_stay_ended_after_an_interrupted_switch() {
    let home = TestHome::new();
    let mut asking = interrupted_switch(&home);
    home.orch(&["daemon", "stop", "--all"]).assert_ok();
    asking.wait().unwrap();
    for name in ["old", "new"] {
        home.wait_for_row(name, "it is stopped", |row| row["state"] == "stopped");
    }
    assert_eq!(home.row("old")["state"], "stopped");
}

#[test]
fn no_request_fails_while_models_are_switched_under_load() {
    const CLIENTS: usize = 8;
    const SWITCHES: usize = 6;
    let home = TestHome::new();
    for name in ["first", "second"] {
        let mut config = home.config(name, &Behaviour { chunks: 5, chunk_ms: 4, load_ms: 100, ..Behaviour::default() });
        config["concurrency"] = 2.into();
        home.write_config(name, &config);
    }
    home.orch(&["model", "activate", "first"]).assert_ok();
    let (endpoint, is_over, answered) = (home.endpoint(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (endpoint, is_over, answered) = (endpoint.clone(), is_over.clone(), answered.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let body = json!({ "model": "llama_cpp", "stream": true, "messages": [{ "role": "user", "content": "x" }] });
                    let answer = http::send(&endpoint, "POST", "/v1/chat/completions", body.to_string().as_bytes()).unwrap();
                    assert_eq!(answer.status, 200);
                    let text = answer.text().unwrap();
                    assert!(text.contains("[DONE]") && !text.contains("\"error\""), "an answer was cut: {text}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for switch in 0..SWITCHES {
        // Each of them meets requests that are under way and some that wait.
        let before = answered.load(Ordering::SeqCst);
        wait_until("requests are answered", Duration::from_secs(20), || (answered.load(Ordering::SeqCst) > before + CLIENTS).then_some(()));
        home.orch(&["model", "activate", ["second", "first"][switch % 2]]).assert_ok();
    }
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!((&home.row("first")["state"], &home.row("second")["state"]), (&json!("ready"), &json!("stopped")));
    let log = home.daemon_log();
    let starts = log.matches(" is starting: ").count();
    assert_eq!(starts, 1 + SWITCHES, "who waits has nothing loaded again: {log}");
}

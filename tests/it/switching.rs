//! `orch model activate`: one model takes the place of another.

use std::thread;

use orchestrator_tests::{Behaviour, TestHome, http};
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

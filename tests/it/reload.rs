//! Configurations that change while they are in use.

use orchestrator_tests::home::SOON;
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use serde_json::{Value, json};

use crate::support::{Edit as _, chat_status};

fn messages(home: &TestHome) -> String {
    home.orch(&["events"]).assert_ok().stdout
}

#[test]
fn a_reload_does_not_stop_every_running_model() {
    let home = TestHome::new();
    for name in ["a", "b"] {
        home.add(name, &Behaviour::default());
    }
    home.orch(&["up", "a", "b"]).assert_ok();
    let endpoint = home.endpoint();
    let (a, b) = (home.pid("a"), home.pid("b"));

    // What the server need not know is taken over while it runs.
    home.write_config("a", &home.config("a", &Behaviour::default()).edit("/aliases", json!(["new-name"])));
    wait_until("the alias is known", SOON, || (chat_status(&endpoint, "new-name") == 200).then_some(()));
    assert_eq!((home.pid("a"), home.pid("b")), (a, b));

    // What it must know replaces it, and nobody else.
    home.write_config("a", &home.config("a", &Behaviour { chunks: 2, ..Behaviour::default() }));
    let row = home.wait_for_row("a", "it is replaced", |row| row["state"] == "ready" && row["pid"] != a);
    assert_ne!(row["pid"], a);
    assert_eq!(home.pid("b"), b);
    let answer =
        http::send(&endpoint, "POST", "/v1/chat/completions", br#"{"model":"a","messages":[{"role":"user","content":"x"}]}"#).unwrap();
    assert_eq!(answer.json()["usage"]["completion_tokens"], 2);
}

#[test]
fn a_bad_edit_changes_nothing_and_says_what_is_wrong() {
    let home = TestHome::new();
    home.add("a", &Behaviour::default());
    home.orch(&["up", "a"]).assert_ok();
    let endpoint = home.endpoint();
    let pid = home.pid("a");
    home.write_config("a", &home.config("a", &Behaviour::default()).edit("/prioritty", json!(3)));
    wait_until("the bad edit is told", SOON, || messages(&home).contains("prioritty").then_some(()));
    assert_eq!(home.pid("a"), pid);
    assert_eq!(chat_status(&endpoint, "a"), 200);

    std::fs::write(home.path().join("config.yaml"), "gateway:\n  port: 0\nlimits:\n  max_runing: 1\n").unwrap();
    wait_until("the bad limits are told", SOON, || messages(&home).contains("max_runing").then_some(()));
    assert_eq!(home.pid("a"), pid);
}

#[test]
fn requests_under_way_are_done_before_a_changed_server_is_replaced() {
    let home = TestHome::new();
    let slow = Behaviour { chunks: 20, chunk_ms: 100, ..Behaviour::default() };
    home.add("a", &slow);
    home.orch(&["up", "a"]).assert_ok();
    let endpoint = home.endpoint();
    let pid = home.pid("a");
    let body = json!({ "model": "a", "stream": true, "messages": [{ "role": "user", "content": "x" }] }).to_string();
    let mut stream = http::send(&endpoint, "POST", "/v1/chat/completions", body.as_bytes()).unwrap();
    assert!(stream.next_piece().unwrap().is_some());
    home.write_config("a", &home.config("a", &Behaviour { chunks: 3, ..slow }));
    let text = stream.text().unwrap();
    assert!(text.contains("[DONE]") && !text.contains("\"error\""), "{text}");
    home.wait_for_row("a", "it is replaced", |row| row["state"] == "ready" && row["pid"] != pid);
}

#[test]
fn changed_limits_are_obeyed_without_a_new_start() {
    let home = TestHome::new();
    for name in ["a", "b"] {
        home.add(name, &Behaviour::default());
    }
    home.orch(&["up", "a"]).assert_ok();
    let endpoint = home.endpoint();
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  port: 0\nlimits:\n  max_running: 1\n  residency: 0\n").unwrap();
    wait_until("the limits are taken over", SOON, || messages(&home).contains("`config.yaml` was taken over").then_some(()));
    assert_eq!(chat_status(&endpoint, "b"), 200);
    let rows: Value = home.json(&["ps"]);
    let running: Vec<&Value> = rows.as_array().unwrap().iter().filter(|row| row["pid"].is_u64()).collect();
    assert_eq!(running.len(), 1, "{rows}");
    assert_eq!(running[0]["name"], "b");
}

//! More requests than places: who waits, who is turned away, and who comes first.

use std::path::Path;
use std::thread::{self, JoinHandle};

use orchestrator_tests::home::SOON;
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use serde_json::{Value, json};

use crate::support::{Edit as _, chat_status};

const CHAT: &str = "/v1/chat/completions";

fn body(model: &str, tag: &str) -> Vec<u8> {
    json!({ "model": model, "messages": [{ "role": "user", "content": tag }] }).to_string().into_bytes()
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A home whose one instance takes one request at a time, and notes them.
fn one_place(first_byte_ms: u64, queue: &Value) -> (TestHome, std::path::PathBuf) {
    let home = TestHome::new();
    let requests = home.path().join("requests");
    let behaviour = Behaviour { first_byte_ms, requests_file: Some(requests.clone()), ..Behaviour::default() };
    let config = home.config("demo", &behaviour).edit("/concurrency", json!(1)).edit("/queue", queue.clone());
    home.write_config("demo", &config.edit("/healthcheck/interval", json!("1m")));
    home.orch(&["up", "demo"]).assert_ok();
    (home, requests)
}

fn asking(endpoint: &str, tag: &str, headers: &[(&'static str, &'static str)]) -> JoinHandle<u16> {
    let (endpoint, body) = (endpoint.to_owned(), body("demo", tag));
    let headers = [&[("content-type", "application/json")], headers].concat();
    thread::spawn(move || {
        let answer = http::send_with(&endpoint, "POST", CHAT, &headers, &body).unwrap();
        let status = answer.status;
        answer.text().unwrap();
        status
    })
}

fn waiting(home: &TestHome) -> u64 {
    home.json(&["describe", "demo"])["requests_waiting"].as_u64().unwrap()
}

#[test]
fn one_more_than_may_wait_is_turned_away_with_the_time_to_come_back() {
    let (home, _) = one_place(1_500, &json!({ "depth": 2 }));
    let endpoint = home.endpoint();
    assert_eq!(chat_status(&endpoint, "demo"), 200, "it is known now how long a request takes");
    let clients: Vec<_> = (0..3).map(|number| asking(&endpoint, &number.to_string(), &[])).collect();
    wait_until("two wait", SOON, || (waiting(&home) == 2).then_some(()));
    let refused = http::send(&endpoint, "POST", CHAT, &body("demo", "one more")).unwrap();
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3..=8).contains(&seconds), "three requests of 1.5 s are before it, and it is told to come back in {seconds} s");
    assert_eq!(refused.json()["error"]["code"], "instance.busy");
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(waiting(&home), 0);
}

#[test]
fn who_waits_too_long_is_told_so() {
    let (home, _) = one_place(2_000, &json!({ "max_wait": "300ms" }));
    let endpoint = home.endpoint();
    let first = asking(&endpoint, "first", &[]);
    wait_until("it is under way", SOON, || (home.json(&["describe", "demo"])["requests_in_flight"] == 1).then_some(()));
    let refused = http::send(&endpoint, "POST", CHAT, &body("demo", "second")).unwrap();
    assert_eq!(refused.status, 429, "it is ready, and busy");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(first.join().unwrap(), 200);
}

#[test]
fn clients_take_turns_and_the_urgent_come_first() {
    let (home, requests) = one_place(150, &json!({}));
    let endpoint = home.endpoint();
    let mut clients = vec![asking(&endpoint, "first", &[])];
    wait_until("it is under way", SOON, || (!lines(&requests).is_empty()).then_some(()));
    // One after the other, so that the order of their arrival is known.
    let order: [(&str, &[(&'static str, &'static str)]); 5] = [
        ("many-1", &[("x-orchestrator-client", "many")]),
        ("many-2", &[("x-orchestrator-client", "many")]),
        ("many-3", &[("x-orchestrator-client", "many")]),
        ("few-1", &[("x-orchestrator-client", "few")]),
        ("urgent", &[("x-orchestrator-client", "many"), ("x-orchestrator-priority", "5")]),
    ];
    // The first one must last until all wait: it is held up by a stopped engine.
    let engine = home.pid("demo");
    orchestrator_tests::processes::signal(engine, rustix::process::Signal::STOP);
    for (count, (tag, headers)) in (1..).zip(order) {
        clients.push(asking(&endpoint, tag, headers));
        wait_until("it waits", SOON, || (http_waiting(&endpoint) == count).then_some(()));
    }
    orchestrator_tests::processes::signal(engine, rustix::process::Signal::CONT);
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(lines(&requests)[1..], ["urgent", "many-1", "few-1", "many-2", "many-3"].map(str::to_owned));
}

fn http_waiting(endpoint: &str) -> u64 {
    http::send(endpoint, "GET", "/api/v1/instances/demo", b"").unwrap().json()["requests_waiting"].as_u64().unwrap()
}

#[test]
fn several_instances_of_one_model_share_its_requests() {
    let home = TestHome::new();
    let files = ["a", "b"].map(|name| home.path().join(format!("{name}.requests")));
    for (name, file) in ["a", "b"].into_iter().zip(&files) {
        let behaviour = Behaviour { first_byte_ms: 200, requests_file: Some(file.clone()), ..Behaviour::default() };
        home.write_config(name, &home.config(name, &behaviour).edit("/concurrency", json!(1)));
    }
    home.orch(&["up", "a", "b"]).assert_ok();
    let endpoint = home.endpoint();
    let model = home.row("a")["model"].as_str().unwrap().to_owned();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (endpoint, model) = (endpoint.clone(), model.clone());
            thread::spawn(move || chat_status(&endpoint, &model))
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    for file in &files {
        assert!(lines(file).len() >= 2, "{}: {:?}", file.display(), lines(file));
    }
    assert_eq!(chat_status(&endpoint, "a"), 200);
}

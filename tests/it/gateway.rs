//! Clients talk to the endpoint, well and badly, and engines answer, well and badly.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use orchestrator_tests::home::SOON;
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use serde_json::{Value, json};

use crate::support::{Edit as _, chat_status, starts};

const CHAT: &str = "/v1/chat/completions";

fn chat(model: &str, stream: bool) -> Vec<u8> {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hi" }] }).to_string().into_bytes()
}

fn post(endpoint: &str, path: &str, body: &[u8]) -> http::Response {
    http::send(endpoint, "POST", path, body).unwrap()
}

#[test]
fn all_ways_to_ask_a_model_pass_through() {
    let home = TestHome::new();
    home.write_config("demo", &home.config("demo", &Behaviour::default()).edit("/aliases", json!(["gpt-4"])));
    home.orch(&["up", "demo"]).assert_ok();
    let endpoint = home.endpoint();

    let models = http::send(&endpoint, "GET", "/v1/models", b"").unwrap().json();
    assert_eq!(models["object"], "list");
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"demo"), "{models}");

    for model in ["demo", "gpt-4"] {
        let answer = post(&endpoint, CHAT, &chat(model, false)).json();
        assert_eq!(answer["choices"][0]["message"]["content"], "the quick brown fox jumps ", "{answer}");
        assert_eq!(answer["usage"]["completion_tokens"], 5);
    }
    let answer = post(&endpoint, "/v1/completions", &chat("demo", false)).json();
    assert_eq!(answer["choices"][0]["text"], "the quick brown fox jumps ", "{answer}");
    let answer = post(&endpoint, "/v1/embeddings", br#"{"model":"demo","input":"hi"}"#).json();
    assert_eq!(answer["data"][0]["embedding"], json!([0.25, -0.5, 1.0]), "{answer}");

    let response = post(&endpoint, CHAT, &chat("demo", true));
    assert!(response.header("content-type").unwrap().starts_with("text/event-stream"));
    let text = response.text().unwrap();
    let events = http::events(&text);
    assert_eq!(events.last(), Some(&"[DONE]"), "{text}");
    let words: String = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap())
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(words, "the quick brown fox jumps ");
}

#[test]
fn a_stream_arrives_piece_by_piece() {
    let home = TestHome::new();
    home.add("demo", &Behaviour { chunks: 4, chunk_ms: 400, ..Behaviour::default() });
    home.orch(&["up", "demo"]).assert_ok();
    let endpoint = home.endpoint();
    let begun = Instant::now();
    let mut response = post(&endpoint, CHAT, &chat("demo", true));
    let first = response.next_piece().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("the "));
    // The whole takes four times 400 ms.
    assert!(begun.elapsed() < Duration::from_millis(1_200), "{:?}", begun.elapsed());
    assert!(response.text().unwrap().contains("[DONE]"));
    assert!(begun.elapsed() > Duration::from_millis(1_200), "{:?}", begun.elapsed());
}

#[test]
fn the_first_requests_start_the_model_once_and_wait_for_it() {
    let home = TestHome::new();
    let starts_file = home.path().join("starts");
    home.add("demo", &Behaviour { load_ms: 500, starts_file: Some(starts_file.clone()), ..Behaviour::default() });
    let endpoint = home.endpoint();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let endpoint = endpoint.clone();
            std::thread::spawn(move || post(&endpoint, CHAT, &chat("demo", false)).status)
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!((starts(&starts_file), home.stats("demo").requests), (1, 8));
}

#[test]
fn a_client_that_goes_away_ends_the_work_of_the_engine() {
    let home = TestHome::new();
    home.add("streams", &Behaviour { chunks: 10_000, chunk_ms: 20, ..Behaviour::default() });
    home.add("thinks", &Behaviour { first_byte_ms: 60_000, ..Behaviour::default() });
    home.orch(&["up", "streams", "thinks"]).assert_ok();
    let endpoint = home.endpoint();
    let mut response = post(&endpoint, CHAT, &chat("streams", true));
    response.next_piece().unwrap().unwrap();
    drop(response);
    wait_until("the engine sees that the reader of a stream is gone", SOON, || (home.stats("streams").aborted == 1).then_some(()));

    let client = std::net::TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
    let body = chat("thinks", false);
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        client.peer_addr().unwrap(),
        body.len()
    );
    std::io::Write::write_all(&mut &client, &[head.as_bytes(), &body].concat()).unwrap();
    wait_until("the request arrived", SOON, || (home.stats("thinks").requests == 1).then_some(()));
    drop(client);
    wait_until("the engine sees that nobody waits any more", SOON, || (home.stats("thinks").aborted == 1).then_some(()));
}

#[test]
fn a_stream_ends_with_an_error_event_when_the_engine_dies() {
    let home = TestHome::new();
    home.add("demo", &Behaviour { crash_after_chunks: Some(3), ..Behaviour::default() });
    home.orch(&["up", "demo"]).assert_ok();
    let first = home.pid("demo");
    let response = post(&home.endpoint(), CHAT, &chat("demo", true));
    assert_eq!(response.status, 200);
    let text = response.text().unwrap();
    let events = http::events(&text);
    let error: Value = serde_json::from_str(events.iter().rfind(|event| **event != "[DONE]").unwrap()).unwrap();
    assert!(error["error"]["message"].is_string() && error["error"]["code"].is_string(), "{text}");
    assert!(text.contains("the ") && text.contains("brown "), "{text}");
    home.wait_for_row("demo", "it is ready again", |row| row["state"] == "ready" && row["pid"] != first);
}

#[test]
fn bad_engines_are_answered_for() {
    let home = TestHome::new();
    home.add("fails", &Behaviour { model_status: Some(500), ..Behaviour::default() });
    home.add("refuses", &Behaviour { model_status: Some(400), ..Behaviour::default() });
    let end = orchestrator_tests::behaviour::ExitAtStart { status: 1, stderr: "error: invalid argument: --bad\n".to_owned() };
    home.add("broken", &Behaviour { exit_at_start: Some(end), ..Behaviour::default() });
    let endpoint = home.endpoint();
    // The engine's own answer is the client's to see.
    for (model, status) in [("fails", 500), ("refuses", 400)] {
        let response = post(&endpoint, CHAT, &chat(model, false));
        assert_eq!(response.status, status);
        assert_eq!(response.json()["error"]["message"], "fake: told to fail");
    }
    let response = post(&endpoint, CHAT, &chat("broken", false));
    assert_eq!(response.status, 502);
    let error = response.json();
    assert!(error["error"]["message"].as_str().unwrap().contains("--bad"), "{error}");
    assert_eq!(error["error"]["code"], "instance.start_failed", "{error}");
}

#[test]
fn bad_requests_are_refused_in_the_clients_own_terms() {
    let home = TestHome::new();
    home.add("qwen3-8b", &Behaviour::default());
    let endpoint = home.endpoint();
    let cases: [(&[u8], u16, &str, &[&str]); 8] = [
        (b"{\"messages\":[]}", 400, "request.invalid", &["model"]),
        (b"{\"model\":7}", 400, "request.invalid", &["model"]),
        (b"{\"model\":\"\"}", 0, "", &["model"]),
        (b"not json", 400, "request.invalid", &["JSON"]),
        (b"[]", 400, "request.invalid", &[]),
        (b"{\"model\":\"qwen3-8b\"", 400, "request.invalid", &[]),
        (b"{\"model\":\"qwen3-7b\"}", 404, "model.unknown", &["qwen3-7b", "qwen3-8b"]),
        (b"{\"model\":\"../../etc/passwd\"}", 404, "model.unknown", &[]),
    ];
    for (body, status, code, words) in cases {
        let shown = String::from_utf8_lossy(body).into_owned();
        let response = post(&endpoint, CHAT, body);
        assert!(response.status == status || (status == 0 && [400, 404].contains(&response.status)), "{shown}: {}", response.status);
        let error = response.json();
        let message = error["error"]["message"].as_str().unwrap_or_else(|| panic!("{shown}: {error}"));
        for word in words {
            assert!(message.contains(word), "{shown}: `{word}` is missing in {error}");
        }
        if !code.is_empty() {
            assert_eq!(error["error"]["code"], code, "{shown}: {error}");
        }
    }
    let response = http::send(&endpoint, "GET", "/v1/nothing", b"").unwrap();
    assert_eq!(response.status, 404);
    let response = http::send(&endpoint, "GET", CHAT, b"").unwrap();
    assert_eq!(response.status, 405);
    // None of it started anything.
    assert_eq!(home.row("qwen3-8b")["state"], "stopped");
}

#[test]
fn a_body_of_100_mb_is_refused_and_the_next_request_is_served() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    let endpoint = home.endpoint();
    let body = [b"{\"model\":\"demo\",\"x\":\"".as_slice(), &vec![b'x'; 100 << 20], b"\"}"].concat();
    let response = post(&endpoint, CHAT, &body);
    assert_eq!(response.status, 413);
    assert_eq!(response.json()["error"]["code"], "request.too_large");
    assert_eq!(post(&endpoint, CHAT, &chat("demo", false)).status, 200);
}

#[test]
fn strangers_in_a_browser_are_refused() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    let endpoint = home.endpoint();
    let json_type = ("content-type", "application/json");
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("a rebound name", &[("host", "evil.example"), json_type]),
        ("another origin", &[("origin", "https://evil.example"), json_type]),
        ("a form of another site", &[("sec-fetch-site", "cross-site"), json_type]),
        ("a null origin", &[("origin", "null"), json_type]),
        ("a body that a form can send", &[("content-type", "text/plain"), ("origin", "https://evil.example")]),
    ];
    for (what, headers) in cases {
        for path in [CHAT, "/api/v1/instances/demo/up"] {
            let response = http::send_with(&endpoint, "POST", path, headers, &chat("demo", false)).unwrap();
            assert_eq!(response.status, 403, "{what} at {path}");
            assert_eq!(response.header("access-control-allow-origin"), None, "{what}");
        }
    }
    assert_eq!(home.row("demo")["state"], "stopped");
}

#[test]
fn a_port_of_the_gateway_that_is_taken_is_named() {
    let home = TestHome::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    std::fs::write(home.path().join("config.yaml"), format!("gateway:\n  port: {port}\n")).unwrap();
    let outcome = home.orch(&["ps"]);
    assert_ne!(outcome.status, 0, "{outcome:#?}");
    assert!(outcome.stderr.contains(&port.to_string()) && outcome.stderr.contains("hint:"), "{outcome:#?}");
}

#[test]
fn an_instance_that_fails_its_requests_is_left_alone_while_another_one_serves_the_same_model() {
    let home = TestHome::new();
    home.add("failing", &Behaviour { model_status: Some(500), ..Behaviour::default() });
    home.add("healthy", &Behaviour::default());
    home.orch(&["up", "failing", "healthy"]).assert_ok();
    let endpoint = home.endpoint();
    // Both have the same model: its name means either.
    let model = home.model().file_stem().unwrap().to_str().unwrap().to_owned();
    let statuses: Vec<u16> = (0..40).map(|_| chat_status(&endpoint, &model)).collect();
    let failed = statuses.iter().filter(|status| **status == 500).count();
    // Five, and on a machine that is slow to ask now and then one that finds out whether it answers again.
    assert!((5..10).contains(&failed), "{statuses:?}");
    assert_eq!(home.stats("failing").requests, failed as u64);
    assert!(statuses.iter().all(|status| matches!(status, 200 | 500)), "nobody is refused: {statuses:?}");
}

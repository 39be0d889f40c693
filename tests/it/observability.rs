//! What the daemon tells about itself: metrics, and a log for programs.

use orchestrator_tests::behaviour::BadAnswer;
use orchestrator_tests::home::SOON;
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use serde_json::{Value, json};

fn chat(endpoint: &str, name: &str, headers: &[(&str, &str)]) -> http::Response {
    let body = json!({ "model": name, "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let headers: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
    http::send_with(endpoint, "POST", "/v1/chat/completions", &headers, body.to_string().as_bytes()).unwrap()
}

#[test]
fn metrics_tell_of_requests_tokens_states_and_restarts() {
    let home = TestHome::new();
    home.add("mine", &Behaviour { crash_after_requests: Some(2), chunks: 5, ..Behaviour::default() });
    home.orch(&["up", "mine"]).assert_ok();
    let endpoint = home.endpoint();
    for _ in 0..2 {
        assert!(chat(&endpoint, "mine", &[]).text().unwrap().ends_with("[DONE]\n\n"));
    }
    let wanted = [
        "orchestrator_requests_total{instance=\"mine\",route=\"/v1/chat/completions\",outcome=\"2xx\"} 2",
        "orchestrator_requests_in_flight{instance=\"mine\"} 0",
        "orchestrator_prompt_tokens_total{instance=\"mine\"} 6",
        "orchestrator_completion_tokens_total{instance=\"mine\"} 10",
        "orchestrator_request_first_byte_seconds_count{instance=\"mine\"} 2",
        "orchestrator_circuit_state{instance=\"mine\",state=\"closed\"} 1",
        "orchestrator_instance_state{instance=\"mine\",state=\"ready\"} 1",
        "orchestrator_instance_starts_total{instance=\"mine\"} 2",
        "orchestrator_instance_load_seconds_count{instance=\"mine\"} 2",
        "orchestrator_instance_failures_total{instance=\"mine\",cause=\"signal\"} 1",
        "orchestrator_instance_restarts_total{instance=\"mine\",cause=\"signal\"} 1",
        "orchestrator_queue_length{instance=\"mine\"} 0",
    ];
    let read = || {
        let answer = http::send(&endpoint, "GET", "/metrics", b"").unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
        answer.text().unwrap()
    };
    for wanted in wanted {
        wait_until(wanted, SOON, || read().lines().any(|line| line == wanted).then_some(()));
    }
    let memory = read().lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")?.parse::<u64>().ok());
    assert!(memory.is_some_and(|bytes| bytes > 1_000_000), "{memory:?}");
}

#[test]
fn the_machine_and_what_engines_make_of_it_are_told() {
    let home = TestHome::new();
    home.add("mine", &Behaviour::default());
    let endpoint = home.endpoint();
    let ask = |path: &str| http::send(&endpoint, "GET", path, b"").unwrap();
    let plain: Value = serde_json::from_str(&ask("/api/v1/hardware").text().unwrap()).unwrap();
    assert!(plain["cpu_count"].as_u64().unwrap() > 0 && plain["devices"].is_array() && plain.get("engines").is_none(), "{plain}");
    let asked: Value = serde_json::from_str(&ask("/api/v1/hardware?engine=true").text().unwrap()).unwrap();
    let engines = asked["engines"].as_array().unwrap();
    let fake = engines.iter().find(|engine| engine["devices"][0]["id"] == "Fake0").unwrap_or_else(|| panic!("{asked}"));
    assert_eq!((&fake["runtime"], &fake["devices"][0]["name"]), (&json!("llama_cpp"), &json!("Fake GPU (of nothing)")));
    assert_eq!(fake["devices"][0]["memory_total_bytes"], json!(8192_u64 << 20));
    assert_eq!(ask("/api/v1/hardware?engine=perhaps").status, 400);
    let report = orchestrator_tests::home::run(home.command(&["doctor", "--json"])).json();
    assert!(report["hardware"]["memory_total_bytes"].as_u64().unwrap() > 0, "{report}");
    let names: Vec<_> = report["checks"].as_array().unwrap().iter().filter_map(|check| check["name"].as_str()).collect();
    assert!(names.contains(&"machine") && names.contains(&"gpus"), "{names:?}");
}

#[test]
fn a_log_for_programs_has_the_request_and_the_instance_in_each_line_about_them() {
    let home = TestHome::new();
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  port: 0\nlog:\n  format: json\n").unwrap();
    home.add("mine", &Behaviour { bad_answer: Some(BadAnswer::BadChunking), ..Behaviour::default() });
    home.orch(&["up", "mine"]).assert_ok();
    let answer = chat(&home.endpoint(), "mine", &[("x-request-id", "trace-7")]);
    assert_eq!(answer.header("x-request-id"), Some("trace-7"));
    assert!(answer.text().unwrap().contains("instance.upstream_failed"));
    let line =
        wait_until("the log tells of it", SOON, || home.daemon_log().lines().find(|line| line.contains("broke off")).map(str::to_owned));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((line["request_id"].as_str(), line["instance"].as_str()), (Some("trace-7"), Some("mine")), "{line}");
    assert_eq!(line["level"], "WARN");
    // The first line is written by whoever starts the daemon.
    for line in home.daemon_log().lines().skip(1) {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

//! Tool calls through the gateway: with the real engine and a model of random weights, which is right only because it
//! is held to it; and with an engine that heeds nothing.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_tests::{Behaviour, TestHome, http};
use serde_json::{Value, json};

use crate::support::{Edit as _, home_with_engine};

const CHAT: &str = "/v1/chat/completions";
/// All calls with the real engine take no longer.
const SMOKE_LIMIT: Duration = Duration::from_mins(1);

const GOOD: &str = r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":"sky"}}]}"#;

fn request(model: &str, more: &Value) -> Vec<u8> {
    let parameters = json!({ "type": "object", "properties": { "at": { "type": "string" } }, "required": ["at"] });
    let mut body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": "look" }],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": parameters } }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

fn ask(home: &TestHome, body: &[u8]) -> http::Response {
    http::send(&home.endpoint(), "POST", CHAT, body).unwrap()
}

/// Configures an instance whose engine writes these texts, whatever it is held to.
fn writes(home: &TestHome, name: &str, mode: &str, texts: &[&str]) {
    let behaviour = Behaviour { texts: texts.iter().map(|text| (*text).to_owned()).collect(), ..Behaviour::default() };
    home.write_config(name, &home.config(name, &behaviour).edit("/tools", json!({ "mode": mode })));
}

#[test]
fn two_hundred_strict_calls_over_ten_sets_of_tools_are_all_valid() {
    let home = home_with_engine();
    let model = home.path().join("demo.gguf");
    write_demo_model(&model, &DemoModel::default()).unwrap();
    // One thread: more of them wait for each other wherever other tests run beside this one.
    home.write_config("demo", &json!({ "name": "demo", "model": { "path": model, "threads": 1 }, "tools": { "mode": "strict" } }));
    home.orch(&["up", "demo"]).assert_ok();
    let began = Instant::now();
    let summary = home.json(&["tools", "smoke", "demo", "--count", "200"]);
    assert_eq!((&summary["asked"], &summary["valid"]), (&json!(200), &json!(200)), "{summary}");
    let sets = summary["sets"].as_array().unwrap();
    assert!(sets.len() == 10 && sets.iter().all(|set| set["asked"] == 20), "{summary}");
    assert!(began.elapsed() < SMOKE_LIMIT, "it took {:?}: {summary}", began.elapsed());

    // The choices, as a client sees them.
    let named = json!({ "type": "function", "function": { "name": "look" } });
    for (choice, reason) in [(json!("none"), "stop"), (json!("required"), "tool_calls"), (named, "tool_calls")] {
        let body = request("demo", &json!({ "tool_choice": choice, "parallel_tool_calls": false, "max_tokens": 512 }));
        let answer = ask(&home, &body).json();
        let answered = &answer["choices"][0];
        assert_eq!(answered["finish_reason"], reason, "{answer}");
        let calls = answered["message"]["tool_calls"].as_array().map_or(0, Vec::len);
        assert_eq!(calls, usize::from(reason == "tool_calls"), "{answer}");
    }
    let answer = ask(&home, &request("demo", &json!({ "tool_choice": "required", "max_tokens": 20 }))).json();
    assert_eq!(answer["choices"][0]["finish_reason"], "length", "{answer}");
    assert!(answer["choices"][0]["message"].get("tool_calls").is_none(), "{answer}");
    let events = home.orch(&["events", "--json"]).assert_ok().stdout;
    assert!(events.contains(r#""kind":"tool_calls""#), "{events}");
}

#[test]
fn what_cannot_be_repaired_is_asked_for_again_twice_and_then_refused() {
    let home = TestHome::new();
    let cases = [
        (
            "cut-off",
            ["{\"v\":1,\"type\":\"tool_calls\",\"calls\":[{\"name\":\"look\",\"arguments\":{\"at\":\"sk", "{\"v\":1,\"type\":\"fin", "{"],
        ),
        ("twice", [r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{"at":"a","at":"b"}}]}"#, "no", "No."]),
        ("unknown", [r#"{"v":1,"type":"tool_calls","calls":[{"name":"lok","arguments":{}}]}"#, "<think>", "}"]),
        ("thinks", ["<think>{\"v\":1,\"type\":\"final\",\"content\":\"x\"}</think>", "{}", "[]"]),
    ];
    for (name, texts) in cases {
        writes(&home, name, "strict", &texts);
        let response = ask(&home, &request(name, &json!({})));
        let (status, report) = (response.status, response.header("x-orchestrator-tools").map(str::to_owned));
        let error = response.json();
        assert_eq!((status, error["error"]["code"].as_str()), (502, Some("answer.invalid")), "{name}: {error}");
        assert!(report.unwrap().starts_with("refused; reasks=2; "), "{name}");
        assert_eq!(home.stats(name).requests, 3, "{name}");
    }
}

#[test]
fn what_can_be_repaired_with_certainty_is_and_says_so() {
    let home = TestHome::new();
    let cases = [
        ("fenced", "```json\n{v: 1, type: 'tool_calls', calls: [{name: 'look', arguments: {at: 'sky',}}]}\n```", "repaired"),
        ("prose", &format!("Of course! {GOOD} I hope this helps."), "extracted"),
        ("exact", GOOD, "exact"),
    ];
    for (name, text, fidelity) in cases {
        writes(&home, name, "strict", &[text]);
        for stream in [false, true] {
            let response = ask(&home, &request(name, &json!({ "stream": stream })));
            assert_eq!(response.status, 200, "{name}");
            let report = response.header("x-orchestrator-tools").unwrap().to_owned();
            assert_eq!(report, format!("{fidelity}; reasks=0; constraint=tools"), "{name}");
            let text = response.text().unwrap();
            assert!(text.contains(r#"{\"at\":\"sky\"}"#), "{name}: {text}");
        }
    }
}

#[test]
fn a_malformed_history_never_reaches_the_engine() {
    let home = TestHome::new();
    let bad = json!({ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"at\": \"the s" } });
    let messages = json!([
        { "role": "user", "content": "look" },
        { "role": "assistant", "content": null, "tool_calls": [bad] },
        { "role": "tool", "tool_call_id": "c1", "content": "it could not be read" },
    ]);
    for mode in ["strict", "validated"] {
        writes(&home, mode, mode, &[r#"{"v":1,"type":"final","content":"ok"}"#]);
        let response = ask(&home, &request(mode, &json!({ "messages": messages })));
        assert_eq!(response.status, 200, "{mode}");
        let stats = home.stats(mode);
        assert_eq!(stats.bodies.len(), 1);
        let sent: Value = serde_json::from_str(&stats.bodies[0]).unwrap();
        assert!(!sent["messages"].to_string().contains("the s"), "{mode}: {sent}");
        assert!(sent["messages"].as_array().unwrap().iter().all(|message| message.get("tool_calls").is_none()), "{mode}: {sent}");
        assert_eq!(sent.get("tools").is_some(), mode == "validated", "{sent}");
    }
}

#[test]
fn texts_are_judged_without_a_daemon() {
    let home = TestHome::new();
    let tools = home.path().join("tools.json");
    std::fs::write(&tools, r#"[{"name":"look","input_schema":{"type":"object","required":["at"]}}]"#).unwrap();
    let parse = |arguments: &[&str], input: &str| {
        let mut command = home.command(&["tools", "parse", "--tools", tools.to_str().unwrap()]);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let verdicts: Vec<Value> =
            String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code().unwrap(), verdicts)
    };
    let (status, verdicts) = parse(&[], GOOD);
    assert_eq!((status, verdicts[0]["fidelity"].as_str()), (0, Some("exact")), "{verdicts:?}");
    assert_eq!(verdicts[0]["envelope"], serde_json::from_str::<Value>(GOOD).unwrap());
    let texts = [GOOD, &GOOD[..GOOD.len() - 3], "nothing"];
    let lines = texts.map(|text| json!({ "text": text }).to_string()).join("\n");
    let fidelities =
        |verdicts: &[Value]| verdicts.iter().map(|verdict| verdict["fidelity"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let (status, verdicts) = parse(&["--jsonl"], &lines);
    assert_eq!((status, fidelities(&verdicts)), (0, vec!["exact".to_owned(), "repaired".to_owned(), "ambiguous".to_owned()]));
    let (_, verdicts) = parse(&["--jsonl", "--finish", "length"], &lines);
    assert_eq!(fidelities(&verdicts)[1], "ambiguous");
    assert!(verdicts[1]["envelope"].is_null() && verdicts[1]["errors"][0]["keyword"] == "cut_off", "{verdicts:?}");
    assert_eq!(parse(&["--jsonl"], "{\"txt\":1}\n").0, 72);
    home.orch(&["tools", "parse", "--tools", "none.json"]).assert_fails(71, &["none.json", "hint:"]);
    assert!(!home.path().join("state").exists(), "a home was made");
}

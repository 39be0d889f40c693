#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::path::Path;

use serde_json::json;

use super::*;

fn findings(value: Value) -> Vec<(String, String)> {
    Envelope::from_value(value).unwrap_err().into_iter().map(|problem| (problem.pointer, problem.keyword)).collect()
}

#[test]
fn the_discriminator_comes_first_on_the_wire() {
    let call = Call { name: "look".to_owned(), arguments: Map::new() };
    let calls = serde_json::to_string(&Envelope::ToolCalls { calls: vec![call] }).unwrap();
    assert_eq!(calls, r#"{"v":1,"type":"tool_calls","calls":[{"name":"look","arguments":{}}]}"#);
    let answer = serde_json::to_string(&Envelope::Final { content: "hi".to_owned() }).unwrap();
    assert_eq!(answer, r#"{"v":1,"type":"final","content":"hi"}"#);
}

#[test]
fn every_published_version_keeps_parsing() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/envelopes");
    let mut seen = 0;
    for version in std::fs::read_dir(samples).unwrap() {
        for sample in std::fs::read_dir(version.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(sample.unwrap().path()).unwrap();
            serde_json::from_str::<Envelope>(&text).unwrap();
            seen += 1;
        }
    }
    assert!(seen >= 3);
}

#[test]
fn objects_are_closed_and_kinds_do_not_mix() {
    let both = json!({"v": 1, "type": "final", "content": "x", "calls": []});
    assert_eq!(findings(both), [(String::new(), "additionalProperties".to_owned())]);
    let extra = json!({"v": 1, "type": "tool_calls", "calls": [{"name": "f", "arguments": {}, "id": "1"}]});
    assert_eq!(findings(extra), [("/calls/0".to_owned(), "additionalProperties".to_owned())]);
}

#[test]
fn each_finding_names_its_place() {
    for (value, pointer, keyword) in [
        (json!([]), "", "type"),
        (json!({"type": "final", "content": "x"}), "", "required"),
        (json!({"v": 2, "type": "final", "content": "x"}), "/v", "const"),
        (json!({"v": 1, "type": "other"}), "/type", "enum"),
        (json!({"v": 1, "type": "final"}), "", "required"),
        (json!({"v": 1, "type": "final", "content": 1}), "/content", "type"),
        (json!({"v": 1, "type": "tool_calls", "calls": []}), "/calls", "minItems"),
        (json!({"v": 1, "type": "tool_calls", "calls": [1]}), "/calls/0", "type"),
        (json!({"v": 1, "type": "tool_calls", "calls": [{"arguments": {}}]}), "/calls/0", "required"),
        (json!({"v": 1, "type": "tool_calls", "calls": [{"name": 1, "arguments": {}}]}), "/calls/0/name", "type"),
        (json!({"v": 1, "type": "tool_calls", "calls": [{"name": "f", "arguments": "{}"}]}), "/calls/0/arguments", "type"),
    ] {
        assert_eq!(findings(value.clone()), [(pointer.to_owned(), keyword.to_owned())], "{value}");
    }
}

#[test]
fn the_checked_in_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/envelope.schema.json");
    let generated = serde_json::to_string_pretty(&envelope_schema()).unwrap() + "\n";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), generated, "run `cargo xtask gen`");
}

#[test]
fn the_schema_and_the_reader_agree() {
    let validator = crate::schema::Validator::new(&envelope_schema()).unwrap();
    for value in [
        json!({"v": 1, "type": "final", "content": "x"}),
        json!({"v": 1.0, "type": "final", "content": "x"}),
        json!({"v": 1, "type": "tool_calls", "calls": [{"name": "f", "arguments": {"a": 1}}]}),
        json!({"v": 1, "type": "tool_calls", "calls": []}),
        json!({"v": 2, "type": "final", "content": "x"}),
        json!({"v": 1, "type": "final", "content": "x", "calls": []}),
        json!({"v": 1, "type": "tool_calls", "calls": [{"name": "f", "arguments": {}, "id": 1}]}),
        json!({"v": 1, "type": "tool_calls", "calls": [{"name": "f", "arguments": "{}"}]}),
        json!({"v": true, "type": "final", "content": "x"}),
        json!(null),
    ] {
        assert_eq!(validator.is_valid(&value), Envelope::from_value(value.clone()).is_ok(), "{value}");
    }
}

//! Extraction, repair and validation of any text: no panic, and what is accepted is valid and stays what it is.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use orchestrator_toolcall::schema::Validator;
use orchestrator_toolcall::{Fidelity, Finish, ToolSet};
use serde_json::json;

static TOOLS: LazyLock<(ToolSet, Validator)> = LazyLock::new(|| {
    let tools = ToolSet::from_json(&json!([
        {"name": "f", "input_schema": {"type": "object"}},
        {"name": "g", "input_schema": {"type": "object", "properties": {"a": {"type": "object"}, "b": {"type": "array"}}, "required": ["a"]}}
    ]))
    .expect("the tools are fine");
    let validator = Validator::new(&tools.full_schema()).expect("the schema is fine");
    (tools, validator)
});

fuzz_target!(|bytes: &[u8]| {
    let (tools, validator) = &*TOOLS;
    for finish in [Finish::Stop, Finish::Length] {
        let verdict = tools.parse(bytes, finish);
        assert_eq!(verdict.envelope.is_some(), verdict.errors.is_empty());
        let Some(envelope) = verdict.envelope else { continue };
        assert_ne!(verdict.fidelity, Fidelity::Ambiguous);
        let value = serde_json::to_value(&envelope).expect("an envelope is JSON");
        assert!(validator.is_valid(&value));
        let again = tools.parse(value.to_string(), Finish::Length);
        assert_eq!((again.fidelity, again.envelope), (Fidelity::Exact, Some(envelope)));
    }
});

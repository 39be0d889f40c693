//! Repair of the arguments of a native call.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use orchestrator_toolcall::{Finish, ToolSet};
use serde_json::json;

static TOOLS: LazyLock<ToolSet> =
    LazyLock::new(|| ToolSet::from_json(&json!([{"name": "f", "input_schema": {}}])).expect("the tool is fine"));

fuzz_target!(|bytes: &[u8]| {
    let verdict = TOOLS.parse_call("f", bytes, Finish::Stop);
    for edit in &verdict.edits {
        assert!(edit.start <= edit.end && edit.end <= bytes.len());
    }
});

//! What must hold for any bytes: the bodies of the fuzz targets, for cargo-fuzz and for `cargo xtask fuzz`.

#![expect(clippy::expect_used, reason = "a check fails by panicking")]

use std::sync::LazyLock;

use orchestrator_toolcall::schema::{Validator, portable as reduce};
use orchestrator_toolcall::{Fidelity, Finish, Limits, StreamScanner, Tool, ToolSet, parse_strict};
use serde_json::{Value, json};

static TOOLS: LazyLock<(ToolSet, Validator)> = LazyLock::new(|| {
    let tools = ToolSet::from_json(&json!([
        {"name": "f", "input_schema": {"type": "object"}},
        {"name": "g", "input_schema": {"type": "object", "properties": {"a": {"type": "object"}, "b": {"type": "array"}}, "required": ["a"]}}
    ]))
    .expect("the tools are fine");
    let validator = Validator::new(&tools.full_schema()).expect("the schema is fine");
    (tools, validator)
});

/// Extraction, repair and validation of any text: no panic, and what is accepted is valid and stays what it is.
pub fn parse(bytes: &[u8]) {
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
}

/// Repair of the arguments of a native call.
pub fn call(bytes: &[u8]) {
    let verdict = TOOLS.0.parse_call("f", bytes, Finish::Stop);
    for edit in &verdict.edits {
        assert!(edit.start <= edit.end && edit.end <= bytes.len());
    }
}

/// The strict parser against `serde_json`: it accepts nothing else, and reads the same.
pub fn strict(bytes: &[u8]) {
    let Ok(ours) = parse_strict(bytes, &Limits::DEFAULT) else { return };
    let theirs: Value = serde_json::from_slice(bytes).expect("what we accept is JSON");
    // Without its slow mode, `serde_json` may be off by the last bit of a float.
    if !bytes.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        assert_eq!(ours, theirs);
    }
}

/// The streaming scanner: chunks make no difference. The first eight bytes are the lengths of the chunks.
pub fn scanner(input: &[u8]) {
    let Some((cuts, bytes)) = input.split_first_chunk::<8>() else { return };
    let mut whole = StreamScanner::new(Limits::DEFAULT);
    whole.push(bytes);
    let mut pieces = StreamScanner::new(Limits::DEFAULT);
    let mut rest = bytes;
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(whole.state(), pieces.state());
}

/// Reduction of any schema: bounded, free of references, and still a schema.
pub fn portable(bytes: &[u8]) {
    let Ok(schema) = parse_strict(bytes, &Limits::DEFAULT) else { return };
    if Tool::try_new("f", None, schema.clone()).is_err() {
        return;
    }
    Validator::new(&reduce(&schema)).expect("the reduced schema of a usable schema is usable");
}

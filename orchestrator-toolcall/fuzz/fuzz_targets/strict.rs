//! The strict parser against `serde_json`: it accepts nothing else, and reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orchestrator_toolcall::{Limits, parse_strict};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(ours) = parse_strict(bytes, &Limits::DEFAULT) else { return };
    let theirs: Value = serde_json::from_slice(bytes).expect("what we accept is JSON");
    // Without its slow mode, `serde_json` may be off by the last bit of a float.
    if !bytes.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        assert_eq!(ours, theirs);
    }
});

//! Reduction of any schema: bounded, free of references, and still a schema.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orchestrator_toolcall::schema::{Validator, portable};
use orchestrator_toolcall::{Limits, Tool, parse_strict};

fuzz_target!(|bytes: &[u8]| {
    let Ok(schema) = parse_strict(bytes, &Limits::DEFAULT) else { return };
    if Tool::try_new("f", None, schema.clone()).is_err() {
        return;
    }
    Validator::new(&portable(&schema)).expect("the reduced schema of a usable schema is usable");
});

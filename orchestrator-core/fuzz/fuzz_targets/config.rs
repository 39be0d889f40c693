//! Any text is read or refused as either configuration: no panic, no endless work, and an error that can be shown.
//!
//! The samples of `tests/configs` are a good start for the corpus.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use orchestrator_core::Problem;
use orchestrator_core::config::load::{Naming, parse_daemon_config, parse_instance};

fuzz_target!(|text: &str| {
    let file = Path::new("/home/instances/demo/config.yaml");
    if let Ok(spec) = parse_instance(text, file, Naming::Free) {
        assert!(spec.model.reference.as_file().is_none_or(Path::is_absolute));
    }
    for error in [parse_instance(text, file, Naming::Free).err(), parse_daemon_config(text, file).err()].into_iter().flatten() {
        let shown = format!("{error} {:?}", Problem::from_error(&error));
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
});

//! `registry_manifest` of `checks.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::registry_manifest(bytes));

//! `safetensors_header` of `checks.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::safetensors_header(bytes));

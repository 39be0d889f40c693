//! `hub_listing` of `checks.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::hub_listing(bytes));

//! Environments with the real `uv`, the real package index and the real engine, and with fakes for every failure.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

#[path = "environments/failures.rs"]
mod failures;
#[path = "environments/fakes.rs"]
mod fakes;
#[path = "environments/processes.rs"]
mod processes;
#[path = "environments/real.rs"]
mod real;

//! End-to-end tests: the real `orch`, the real daemon, and engines that are real programs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod faults;
mod gateway;
mod handover;
mod homes;
mod hugging_face;
mod lifecycle;
mod models;
mod observability;
mod ollama;
mod queueing;
mod recovery;
mod regressions;
mod reload;
mod scheduling;
mod slow_clients;
mod support;
mod switching;
mod tools;

//! What the end-to-end tests stand on: a home of their own with the real `orch` in it, engines that misbehave on
//! request, a hub to fetch models from, a small HTTP client, and waiting for conditions.
//!
//! The tests themselves are in `it/`, the fake engine in `bin/`.

#![expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "checks of an outcome are chained, and may end the chain")]
#![expect(clippy::missing_panics_doc, clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub mod behaviour;
pub mod clock;
pub mod faults;
pub mod home;
pub mod http;
pub mod hub;
pub mod processes;
pub mod wait;

pub use behaviour::Behaviour;
pub use clock::monotonic_nanos;
pub use home::{Outcome, TestHome};
pub use wait::wait_until;

//! The policy in a world of its own: by name what others got wrong, and at random under simulated time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod regressions;
mod simulation;
mod world;

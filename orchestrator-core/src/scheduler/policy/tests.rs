//! The policy in a world of its own: by name what others got wrong, and at random under simulated time.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    reason = "a test may fail by panicking, and says then what happened"
)]

mod regressions;
mod shunning;
mod simulation;
mod world;

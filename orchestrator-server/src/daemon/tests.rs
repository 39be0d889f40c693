//! The whole daemon in process, with the core's facade under it and engines that are real processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod control;
mod doors;
mod ending;
mod handover;
mod hub;
mod models;
mod rig;
mod serving;

//! The gateway over real connections: a client, the gateway, and engines that answer, lie, stall and die.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod circuits;
mod counting;
mod faults;
mod passing;
mod rig;
mod tools;

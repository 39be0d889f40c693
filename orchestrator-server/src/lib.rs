//! The daemon of Orchestrator and whoever talks to it: the control API, the gateway, and the typed client.
//!
//! This is the only crate that serves HTTP. Its handlers extract, call `orchestrator-core`, and convert back; it
//! holds no rule about instances of its own. Start at [`Client`].

pub mod api;
mod attached;
pub mod client;
mod error;
mod gateway;
mod socket_path;

pub use client::{Client, ClientError};

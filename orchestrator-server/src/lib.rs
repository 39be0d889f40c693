//! The daemon of Orchestrator and whoever talks to it: the control API, the gateway, and the typed client.
//!
//! This is the only crate that serves HTTP. Its handlers extract, call `orchestrator-core`, and convert back; it
//! holds no rule about instances of its own. Start at [`Daemon`] to serve a home and at [`Client`] to talk to one
//! that is served.

pub mod api;
mod attached;
mod auth;
pub mod client;
mod daemon;
mod error;
mod gateway;
pub mod metrics;
mod request_id;
mod routes;
mod socket_path;

pub use auth::ApiKeyError;
pub use client::{Client, ClientError, GatewayAnswer};
pub use daemon::{Daemon, DaemonEnd, DaemonError, DaemonFile, DaemonOptions, Estate, Inheritance, Reopen, Succession, take_over};

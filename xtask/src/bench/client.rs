//! Calls of `bench-client`, which asks an endpoint and tells what it saw.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::shell::{TaskResult, target_dir};

/// The name of the model that is asked for.
pub(crate) const MODEL: &str = "bench";

/// How long requests took, in microseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// How much came in how long.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Throughput {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
}

/// What was seen of many streams; times in microseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Streams {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
    /// From an event's being written to its being read.
    pub(crate) delay_p50: f64,
    pub(crate) delay_p99: f64,
    /// By how much two events came further from each other, or nearer to each other, than they were written.
    pub(crate) gap_p99: f64,
}

/// When an answer's body began, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct FirstByte {
    pub(crate) first_ms: f64,
}

/// One request after the other over one connection.
pub(crate) fn ask(address: &str, count: u32) -> TaskResult<Latency> {
    finish(start(&["ask", address, MODEL, &count.to_string()])?)
}

/// As many requests as are answered, one on each connection at a time.
pub(crate) fn load(address: &str, connections: u32, millis: u32) -> TaskResult<Throughput> {
    finish(start(&["load", address, MODEL, &connections.to_string(), &millis.to_string()])?)
}

/// A stream on each connection, with an event every so many microseconds, or with as many as can be read.
pub(crate) fn stream(address: &str, connections: u32, millis: u32, pace_us: u32) -> TaskResult<Streams> {
    finish(start_streams(address, connections, millis, pace_us)?)
}

/// Begins what [`stream`] does.
pub(crate) fn start_streams(address: &str, connections: u32, millis: u32, pace_us: u32) -> TaskResult<Child> {
    start(&["stream", address, MODEL, &connections.to_string(), &millis.to_string(), &pace_us.to_string()])
}

/// One request with the body in a file.
pub(crate) fn first(address: &str, body: &Path) -> TaskResult<FirstByte> {
    finish(start(&["first", address, &body.to_string_lossy()])?)
}

fn start(arguments: &[&str]) -> TaskResult<Child> {
    let program = target_dir().join("release").join("bench-client");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|error| format!("could not start bench-client: {error}"))
}

/// Waits for a client's end and reads what it tells.
pub(crate) fn finish<T: DeserializeOwned>(client: Child) -> TaskResult<T> {
    let output = client.wait_with_output().map_err(|error| format!("could not wait for bench-client: {error}"))?;
    if !output.status.success() {
        return Err(format!("bench-client ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("bench-client told nothing readable: {error}"))
}

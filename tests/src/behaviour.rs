//! [`Behaviour`]: what a fake engine is told to do, and [`FakeStats`], what it tells about itself.
//!
//! The variable `FAKE_ENGINE` holds the behaviour as JSON, or the path of a JSON file, which a test may change
//! between two starts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The variable that tells a fake engine how to behave.
pub const VARIABLE: &str = "FAKE_ENGINE";

/// How a fake engine behaves. The default is a good engine that is ready at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Ends at the start.
    pub exit_at_start: Option<ExitAtStart>,
    /// How long it lives when it ends at the start.
    pub exit_after_ms: u64,
    /// Listens only after this long.
    pub bind_ms: u64,
    /// Answers 503 for this long after it listens.
    pub load_ms: u64,
    /// Answers 503 for ever.
    pub never_ready: bool,
    /// Aborts this long after it became ready.
    pub crash_after_ms: Option<u64>,
    /// Aborts when it has answered this many requests to its model.
    pub crash_after_requests: Option<u64>,
    /// Aborts in the middle of a stream, after this many pieces.
    pub crash_after_chunks: Option<u32>,
    /// Accepts connections and never answers any, from this long after it became ready.
    pub hang_after_ms: Option<u64>,
    /// Says that it is unhealthy (500), from this long after it became ready.
    pub unhealthy_after_ms: Option<u64>,
    /// Answers requests to its model with this status.
    pub model_status: Option<u16>,
    /// Waits this long before it answers a request to its model.
    pub first_byte_ms: u64,
    /// How many pieces a reply has.
    pub chunks: u32,
    /// How long it waits between two pieces of a stream.
    pub chunk_ms: u64,
    /// What it writes for one request after the other, whatever it is held to; the last one again and again.
    pub texts: Vec<String>,
    /// Is not impressed by SIGTERM.
    pub ignore_sigterm: bool,
    /// Leaves a process behind that is in another session and whose parent is gone.
    pub grandchild: Option<Grandchild>,
    /// How many children it has in its own group that do not end before they are killed.
    pub stubborn_children: u8,
    /// Answers requests to its model in a way no server should.
    pub bad_answer: Option<BadAnswer>,
    /// Prints this many MiB to its error output once it is ready, and then `the flood is over`.
    pub flood_mib: u32,
    /// A file to which each start appends a line: its process id, and the microseconds since 1970.
    pub starts_file: Option<PathBuf>,
    /// A file to which each request to its model appends its first message when it begins.
    pub requests_file: Option<PathBuf>,
    /// A file to which each request whose client went away appends its first message, and the microseconds since 1970.
    pub aborts_file: Option<PathBuf>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            exit_at_start: None,
            exit_after_ms: 0,
            bind_ms: 0,
            load_ms: 0,
            never_ready: false,
            crash_after_ms: None,
            crash_after_requests: None,
            crash_after_chunks: None,
            hang_after_ms: None,
            unhealthy_after_ms: None,
            model_status: None,
            first_byte_ms: 0,
            chunks: 5,
            chunk_ms: 0,
            texts: Vec::new(),
            ignore_sigterm: false,
            grandchild: None,
            stubborn_children: 0,
            bad_answer: None,
            flood_mib: 0,
            starts_file: None,
            requests_file: None,
            aborts_file: None,
        }
    }
}

/// How an engine ends at its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitAtStart {
    /// The exit status.
    pub status: u8,
    /// What it writes to its error output before.
    pub stderr: String,
}

/// What a process that is left behind does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grandchild {
    /// It sleeps.
    Sleeps,
    /// It listens on a port of its own.
    Listens,
    /// It sleeps, with an environment that says nothing of where it comes from.
    SleepsWithoutEnvironment,
    /// It sleeps, and is not impressed by SIGTERM.
    IgnoresSigterm,
    /// It starts its successor in a session of its own, and ends: again and again.
    Breeds,
}

/// How an engine spoils its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadAnswer {
    /// It takes the request and says nothing.
    Silence,
    /// It closes the connection without a word.
    Close,
    /// It resets the connection without a word.
    Reset,
    /// It says something that is no HTTP.
    Nonsense,
    /// Its head never ends.
    EndlessHead,
    /// It sends a good head byte by byte, and then nothing.
    DrippingHead,
    /// It promises a short body and sends half of it.
    ShortBody,
    /// It promises a large body and sends half of it.
    ShortLargeBody,
    /// It sends a good body of 8 KiB, one byte at a time.
    DrippingBody,
    /// It sends more than it promised.
    LongBody,
    /// It sends a stream whose framing breaks.
    BadChunking,
    /// It sends a stream that is reset.
    ResetStream,
    /// It sends a stream that falls silent.
    SilentStream,
    /// It sends a good stream, one byte at a time.
    DrippingStream,
    /// It sends a line that never ends, as fast as it can.
    EndlessLine,
    /// It answers 503.
    Busy,
    /// It answers 500.
    Broken,
}

/// What a fake engine tells about itself at `/fake/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FakeStats {
    /// Its process id.
    pub pid: u32,
    /// The requests to its model that it began to answer.
    pub requests: u64,
    /// Those whose client went before the answer was complete.
    pub aborted: u64,
    /// Those that it answered completely.
    pub completed: u64,
    /// The headers of the last request to its model.
    pub last_headers: Vec<String>,
    /// The body of the last request to its model.
    pub last_body: String,
    /// The bodies of all requests to its model.
    pub bodies: Vec<String>,
    /// Its command line.
    pub arguments: Vec<String>,
}

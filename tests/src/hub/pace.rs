//! [`Limits`]: how fast the fake hub is, and the waiting that this means.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How fast the hub is. The default is as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes per second, for all connections together.
    pub total: Option<u64>,
    /// Bytes per second, for each connection.
    pub per_connection: Option<u64>,
    /// How many bytes the system keeps for a client that does not read. Little, for counts that are exact.
    pub send_buffer: Option<u32>,
    /// How long each answer takes before its head is sent: the way there and back.
    #[serde(rename = "latency_ms")]
    pub latency_ms: u64,
}

/// When the next bytes may go out.
#[derive(Debug)]
pub(super) struct Pace {
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { next: Mutex::new(Instant::now()) }
    }

    /// Waits until this many bytes may go out at that rate.
    pub(super) fn wait(&self, bytes: usize, rate: u64) {
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(now);
            *next = turn + cost(bytes, rate);
            turn
        };
        std::thread::sleep(turn.saturating_duration_since(now));
    }
}

fn cost(bytes: usize, rate: u64) -> Duration {
    Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate.max(1))
}

/// How many bytes go out at once at these rates: about what a fiftieth of a second lets through.
pub(super) fn piece(rates: &[Option<u64>]) -> usize {
    let slowest = rates.iter().flatten().min().copied();
    slowest.map_or(MOST, |rate| usize::try_from(rate / 50).unwrap_or(MOST).clamp(1, MOST))
}

/// How many bytes go out at once at most.
const MOST: usize = 256 * 1024;

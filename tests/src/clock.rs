//! The clock that all processes of a machine share and nobody sets.

use rustix::time::{ClockId, clock_gettime};

/// Returns the nanoseconds since some moment before the start of all processes.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

//! Notices connections that bring next to nothing. Pure.

use std::time::{Duration, Instant};

/// Watches one connection.
#[derive(Debug)]
pub(super) struct StallWatch {
    window: Duration,
    least: u64,
    since: Instant,
    bytes: u64,
}

impl StallWatch {
    pub(super) fn new(window: Duration, least: u64, now: Instant) -> Self {
        Self { window, least, since: now, bytes: 0 }
    }

    /// Returns when it has to be looked at again if nothing comes.
    pub(super) fn deadline(&self) -> Instant {
        self.since + self.window
    }

    /// Takes what came. Returns whether the connection is worth keeping.
    pub(super) fn arrived(&mut self, bytes: u64, now: Instant) -> bool {
        self.bytes += bytes;
        if now < self.deadline() {
            return true;
        }
        let enough = self.bytes >= self.least;
        self.since = now;
        self.bytes = 0;
        enough
    }

    /// The time that we ourselves needed does not count.
    pub(super) fn pause(&mut self, time: Duration) {
        self.since += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_drip_is_noticed_and_a_slow_line_is_kept() {
        let start = Instant::now();
        let mut drip = StallWatch::new(10 * SECOND, 100, start);
        let mut slow = StallWatch::new(10 * SECOND, 100, start);
        let kept = |watch: &mut StallWatch, bytes| (1..=60).all(|second| watch.arrived(bytes, start + second * SECOND));
        assert!(!kept(&mut drip, 1));
        assert!(kept(&mut slow, 11));
    }

    #[test]
    fn silence_ends_at_the_deadline_and_our_own_time_does_not_count() {
        let start = Instant::now();
        let mut watch = StallWatch::new(10 * SECOND, 100, start);
        watch.pause(60 * SECOND);
        assert!(watch.arrived(0, start + 65 * SECOND));
        assert!(!watch.arrived(0, watch.deadline()));
    }
}

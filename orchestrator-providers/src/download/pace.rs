//! How long the ranges are that are asked for, and over how many connections. Pure.
//!
//! Short ranges are fetched again quickly after a kill, and a file's start is there to be hashed soon; but each costs a
//! way to the source and back, on which its connection does nothing. So ranges grow where the source is far away, and only
//! while the network is what we wait for: then hardly anything is on its way that is not written.

use std::collections::VecDeque;
use std::time::Duration;

use super::blocks::BLOCK_BYTES;
use super::settings::DownloadSettings;

/// A source is far away when each of the last answers took longer than this to begin.
const FAR: Duration = Duration::from_millis(20);
/// How many answers are looked at.
const ANSWERS: usize = 8;
/// A range should take this many times as long as its answer took to begin.
const WORTH: u32 = 8;
/// After so many good ranges one more connection is tried again.
const GOOD_RANGES: u32 = 16;

/// How a range went.
#[derive(Debug, Clone, Copy)]
pub(super) struct RangeReport {
    /// The time until its answer began.
    pub(super) first_answer: Duration,
    /// The time until it was whole.
    pub(super) whole: Duration,
    /// Whether it waited for our own disk.
    pub(super) waited_for_disk: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    shortest: u64,
    longest: u64,
    range: u64,
    most_connections: usize,
    connections: usize,
    good: u32,
    answers: VecDeque<Duration>,
}

impl Pace {
    pub(super) fn new(settings: &DownloadSettings) -> Self {
        let most_connections = settings.connections.max(1);
        let shortest = whole_blocks(settings.window_bytes / most_connections as u64);
        let longest = whole_blocks(settings.longest_range).max(shortest);
        Self { shortest, longest, range: shortest, most_connections, connections: most_connections, good: 0, answers: VecDeque::new() }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Returns how long the next range may be. Towards the end all connections get something.
    pub(super) fn next_range(&self, missing_bytes: u64) -> u64 {
        let share = whole_blocks(missing_bytes / self.connections as u64).max(self.shortest);
        self.range.min(share)
    }

    pub(super) fn succeeded(&mut self, report: RangeReport) {
        self.answers.push_back(report.first_answer);
        if self.answers.len() > ANSWERS {
            self.answers.pop_front();
        }
        let quickest = self.answers.iter().min().copied().unwrap_or_default();
        let far = self.answers.len() == ANSWERS && quickest >= FAR;
        if report.waited_for_disk || !far {
            self.range = self.shortest;
        } else if report.whole < quickest.saturating_mul(WORTH) {
            self.range = self.range.saturating_mul(2).min(self.longest);
        } else if report.whole > quickest.saturating_mul(4 * WORTH) {
            self.range = whole_blocks(self.range / 2).max(self.shortest);
        }
        self.good += 1;
        if self.good >= GOOD_RANGES {
            self.good = 0;
            self.connections = (self.connections + 1).min(self.most_connections);
        }
    }

    /// The source, or the network, cannot bear so many connections.
    pub(super) fn ease(&mut self) {
        self.connections = (self.connections / 2).max(1);
        self.range = self.shortest;
        self.good = 0;
    }
}

fn whole_blocks(bytes: u64) -> u64 {
    (bytes / BLOCK_BYTES).max(1) * BLOCK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first: u64, whole: u64) -> RangeReport {
        RangeReport { first_answer: Duration::from_millis(first), whole: Duration::from_millis(whole), waited_for_disk: false }
    }

    fn pace() -> Pace {
        Pace::new(&DownloadSettings::default())
    }

    #[test]
    fn what_is_asked_for_at_first_is_less_than_the_window() {
        let settings = DownloadSettings::default();
        for connections in 1..=16 {
            let pace = Pace::new(&DownloadSettings { connections, ..settings.clone() });
            assert!(pace.next_range(u64::MAX) * connections as u64 <= settings.window_bytes, "{connections}");
        }
    }

    #[test]
    fn ranges_grow_for_a_source_that_is_far_away_and_shrink_when_that_costs_nothing() {
        let mut pace = pace();
        for _ in 0..100 {
            pace.succeeded(report(100, 150));
        }
        assert_eq!(pace.next_range(u64::MAX), pace.longest);
        for _ in 0..100 {
            pace.succeeded(report(100, 60_000));
        }
        assert_eq!(pace.next_range(u64::MAX), pace.shortest);
    }

    #[test]
    fn ranges_stay_short_near_by_and_while_our_disk_is_what_is_waited_for() {
        let mut near = pace();
        let mut slow_disk = pace();
        for round in 0..100 {
            // A loaded machine answers late now and then.
            near.succeeded(report(if round % 5 == 0 { 1 } else { 200 }, 210));
            slow_disk.succeeded(RangeReport { waited_for_disk: true, ..report(100, 110) });
        }
        assert_eq!(near.next_range(u64::MAX), near.shortest);
        assert_eq!(slow_disk.next_range(u64::MAX), slow_disk.shortest);
    }

    #[test]
    fn the_end_is_shared() {
        let mut pace = pace();
        for _ in 0..100 {
            pace.succeeded(report(100, 150));
        }
        assert_eq!(pace.next_range(16 << 20), 2 << 20);
        assert_eq!(pace.next_range(1), pace.shortest);
    }

    #[test]
    fn connections_are_fewer_after_trouble_and_come_back() {
        let mut pace = pace();
        for _ in 0..10 {
            pace.ease();
        }
        assert_eq!(pace.connections(), 1);
        for _ in 0..7 * GOOD_RANGES {
            pace.succeeded(report(1, 10));
        }
        assert_eq!(pace.connections(), 8);
    }
}

//! How often something is tried again, and after which wait. Pure.

use std::time::{Duration, Instant};

use super::settings::DownloadSettings;

/// Counts failures in a row. Several connections that break at once are one failure.
#[derive(Debug)]
pub(super) struct Patience {
    most: u32,
    most_at_first: u32,
    first_pause: Duration,
    longest_pause: Duration,
    failures: u32,
    heard: bool,
    last_failure: Option<Instant>,
}

impl Patience {
    pub(super) fn new(settings: &DownloadSettings) -> Self {
        Self {
            most: settings.most_failures,
            most_at_first: settings.most_failures_at_first,
            first_pause: settings.first_pause,
            longest_pause: settings.longest_pause,
            failures: 0,
            heard: false,
            last_failure: None,
        }
    }

    /// Something new arrived.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
        self.heard = true;
    }

    /// Something that was begun at `begun` failed. Returns how long to wait, or nothing when it failed often enough.
    /// `wish` is what the source asks for; `chance` is in 0..1 and spreads the waits of many clients.
    pub(super) fn failed(&mut self, begun: Instant, now: Instant, wish: Option<Duration>, chance: f64) -> Option<Duration> {
        if self.last_failure.is_some_and(|last| begun < last) {
            return Some(self.pause(wish, chance));
        }
        self.failures += 1;
        self.last_failure = Some(now);
        let most = if self.heard { self.most } else { self.most_at_first };
        (self.failures < most).then(|| self.pause(wish, chance))
    }

    fn pause(&self, wish: Option<Duration>, chance: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        let spread = pause.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0);
        spread.max(wish.unwrap_or_default()).min(self.longest_pause)
    }
}

/// Returns a number in 0..1 that nobody needs to be surprised by.
pub(super) fn chance() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let bits = std::hash::RandomState::new().build_hasher().finish() >> 32;
    u32::try_from(bits).map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn patience() -> Patience {
        Patience::new(&DownloadSettings {
            most_failures: 5,
            most_failures_at_first: 2,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(4),
            ..DownloadSettings::default()
        })
    }

    /// Fails once a second, and returns the waits until it gives up.
    fn waits(patience: &mut Patience, start: Instant) -> Vec<u64> {
        let mut waits = Vec::new();
        for second in 0.. {
            let begun = start + Duration::from_secs(second * 60);
            match patience.failed(begun, begun + Duration::from_secs(1), None, 0.5) {
                Some(wait) => waits.push(wait.as_secs()),
                None => break,
            }
        }
        waits
    }

    #[test]
    fn waits_double_and_end() {
        let start = Instant::now();
        let mut one = patience();
        one.progressed();
        assert_eq!(waits(&mut one, start), [1, 2, 4, 4]);
        one.progressed();
        assert_eq!(waits(&mut one, start + Duration::from_hours(1)), [1, 2, 4, 4]);
    }

    #[test]
    fn who_never_answered_is_given_up_sooner() {
        assert_eq!(waits(&mut patience(), Instant::now()), [1]);
    }

    #[test]
    fn connections_that_break_together_are_one_failure() {
        let mut one = patience();
        one.progressed();
        let start = Instant::now();
        for _ in 0..50 {
            assert!(one.failed(start, start + Duration::from_secs(1), None, 0.5).is_some());
        }
        assert_eq!(one.failures, 1);
    }

    #[test]
    fn the_wish_of_a_source_is_granted_up_to_a_limit() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let wish = |wish| patience().failed(now, now, Some(Duration::from_secs(wish)), 0.0).unwrap();
        assert_eq!(wish(3), 3 * second);
        assert_eq!(wish(86_400), 4 * second);
        assert!(wish(0) < second);
        assert!((0.0..=1.0).contains(&chance()));
    }
}

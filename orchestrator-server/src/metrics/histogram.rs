//! Times in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper ends of the buckets, in microseconds: from what a cached answer takes to what a long one takes.
const BOUNDS: [u64; 14] = [
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    120_000_000,
    600_000_000,
];

/// Counts times. Adding one is three steps over atomics.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One more than there are bounds: the last is for everything above.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// The upper end of each bucket in seconds, and how many times were at most that long.
    pub(crate) buckets: Vec<(f64, u64)>,
    /// How many times there are.
    pub(crate) count: u64,
    /// Their sum in seconds.
    pub(crate) sum: f64,
}

impl Histogram {
    /// Adds a time.
    pub(crate) fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Reads it. The count is that of the buckets, so that it agrees with them whatever is added meanwhile.
    pub(crate) fn read(&self) -> Reading {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, bucket) in BOUNDS.iter().zip(&self.counts) {
            count += bucket.load(Ordering::Relaxed);
            buckets.push((Duration::from_micros(*bound).as_secs_f64(), count));
        }
        count += self.counts[BOUNDS.len()].load(Ordering::Relaxed);
        let sum = Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)).as_secs_f64();
        Reading { buckets, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_every_bucket_that_it_fits() {
        let histogram = Histogram::default();
        for micros in [1, 1_000, 1_001, 2_500_000, 700_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let reading = histogram.read();
        let at = |bound: f64| reading.buckets.iter().find(|(found, _)| (found - bound).abs() < 1e-9).map(|(_, count)| *count);
        assert_eq!((at(0.001), at(0.005), at(2.5), at(600.0)), (Some(2), Some(3), Some(4), Some(4)));
        assert_eq!(reading.count, 5);
        assert!((reading.sum - 702.502_002).abs() < 1e-6, "{}", reading.sum);
    }

    #[test]
    fn the_bounds_rise() {
        assert!(BOUNDS.is_sorted());
    }
}

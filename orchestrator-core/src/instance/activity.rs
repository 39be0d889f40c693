//! How busy an instance is: requests in flight, places for more, and since when nobody asked.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counted by leases, read by the instance's task. No lock, no wait.
#[derive(Debug)]
pub(crate) struct Activity {
    begun: Instant,
    in_flight: AtomicUsize,
    /// When the last request began or ended, in milliseconds after `begun`.
    last_used: AtomicU64,
    places: Option<Arc<Semaphore>>,
}

impl Activity {
    pub(crate) fn new(concurrency: Option<NonZeroU32>) -> Self {
        let places = concurrency.map(|places| Arc::new(Semaphore::new(usize::try_from(places.get()).unwrap_or(usize::MAX))));
        Self { begun: Instant::now(), in_flight: AtomicUsize::new(0), last_used: AtomicU64::new(0), places }
    }

    /// Notes that it is used now.
    pub(crate) fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_used.fetch_max(now, Ordering::Relaxed);
    }

    /// Returns for how long nobody has used it; `None` while somebody does.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        if self.in_flight() > 0 {
            return None;
        }
        let last = Duration::from_millis(self.last_used.load(Ordering::Relaxed));
        Some(self.begun.elapsed().saturating_sub(last))
    }

    /// Returns how many requests are under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts one more request until the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.touch();
        InFlight { activity: self.clone(), place: None }
    }

    /// Waits for a place, where their number is limited.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        match &self.places {
            Some(places) => places.clone().acquire_owned().await.ok(),
            None => None,
        }
    }
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    place: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    pub(crate) fn holding(mut self, place: Option<OwnedSemaphorePermit>) -> Self {
        self.place = place;
        self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.touch();
        self.activity.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

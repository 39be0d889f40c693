//! The task of one download in ranges: says which range is fetched next and over how many connections, and what is done when
//! one fails.
//!
//! ```text
//!             ┌──── range ended ────┐
//! take ranges ─► lanes (futures) ───┘─► settle, next        the block map says what is missing
//!             ◄──── hasher: damaged                          a block of an earlier try is missing again
//!                   hasher: finished ─► done
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orchestrator_core::operation::FilePhase;
use tokio::sync::mpsc;

use super::answer::ByteRange;
use super::blocks::BlockMap;
use super::client::Opened;
use super::error::DownloadError;
use super::fetch::{Job, Trouble};
use super::hasher::{Digests, HasherEvent};
use super::lane::{Lanes, RangeEnd, RangeFailure};
use super::pace::Pace;
use super::patience::{self, Patience};
use super::reaction::{Failure, Reaction, reaction};
use super::source::Location;
use super::store::Store;

/// How often the progress is told at least.
const TICK: Duration = Duration::from_millis(250);
/// How many answers that HTTP does not allow are borne.
const MOST_LIES: u32 = 4;

/// What is known of one download in ranges.
pub(super) struct Transfer<'a> {
    job: &'a Job<'a>,
    map: BlockMap,
    pace: Pace,
    patience: Patience,
    location: Option<Arc<Location>>,
    /// Whether a range is under way that asks the source where the file is.
    locating: bool,
    resume_at: Option<tokio::time::Instant>,
    lies: u32,
    phase: FilePhase,
}

/// What a transfer waits for.
enum Event {
    Cancelled,
    Range(RangeEnd),
    Hasher(HasherEvent),
    Located(Arc<Location>),
    PauseOver,
    Tick,
}

type Lane<'a> = Pin<Box<dyn Future<Output = RangeEnd> + Send + 'a>>;

impl<'a> Transfer<'a> {
    pub(super) fn new(job: &'a Job<'a>, map: BlockMap, patience: Patience, location: Option<Arc<Location>>) -> Self {
        Self {
            job,
            map,
            pace: Pace::new(job.settings),
            patience,
            location,
            locating: false,
            resume_at: None,
            lies: 0,
            phase: FilePhase::Waiting,
        }
    }

    /// Fetches what is missing, until the hasher had everything. `first` is an answer that is there already, to a range that
    /// was taken from the map.
    pub(super) async fn run(
        &mut self,
        store: &mut Store,
        lanes: &Lanes<'_>,
        located: &mut mpsc::UnboundedReceiver<Arc<Location>>,
        first: Option<(ByteRange, Opened)>,
    ) -> Result<Digests, Trouble> {
        let mut running: FuturesUnordered<Lane<'_>> = FuturesUnordered::new();
        if let Some((range, opened)) = first {
            running.push(Box::pin(lanes.bring(range, None, Some(opened))));
        }
        let mut tick = tokio::time::interval(TICK);
        loop {
            self.start_ranges(lanes, &mut running);
            self.tell(lanes);
            let resume_at = self.resume_at;
            let event = tokio::select! {
                biased;
                () = self.job.cancel.cancelled() => Event::Cancelled,
                event = store.next() => Event::Hasher(event?),
                Some(location) = located.recv() => Event::Located(location),
                Some(end) = running.next(), if !running.is_empty() => Event::Range(end),
                () = sleep_until(resume_at), if resume_at.is_some() => Event::PauseOver,
                _ = tick.tick() => Event::Tick,
            };
            match event {
                Event::Cancelled => return Err(Trouble::Final(DownloadError::Cancelled)),
                Event::Range(end) => self.range_ended(lanes, end)?,
                Event::Hasher(HasherEvent::Finished(digests)) => return Ok(digests.map_err(|source| self.job.unreadable(source))?),
                Event::Hasher(HasherEvent::Damaged(block)) => {
                    tracing::warn!(file = %self.job.file.name, block, "a block of an earlier try is damaged; it is fetched again");
                    self.map.lose(block);
                }
                Event::Located(location) => {
                    self.location = Some(location);
                    self.locating = false;
                }
                Event::PauseOver => self.resume_at = None,
                Event::Tick => {}
            }
        }
    }

    fn start_ranges<'l>(&mut self, lanes: &'l Lanes<'_>, running: &mut FuturesUnordered<Lane<'l>>) {
        // While nobody knows where the file is, one range finds out.
        while running.len() < self.pace.connections() && self.resume_at.is_none() && !(self.location.is_none() && self.locating) {
            let Some(range) = self.map.take(self.pace.next_range(self.map.missing_bytes())) else { break };
            self.locating = self.location.is_none();
            running.push(Box::pin(lanes.bring(range, self.location.clone(), None)));
        }
    }

    fn tell(&mut self, lanes: &Lanes<'_>) {
        let phase = if self.map.is_complete() { FilePhase::Verifying } else { FilePhase::Fetching };
        if phase != self.phase {
            self.phase = phase;
            self.job.observer.phase(phase);
        }
        self.job.observer.present(self.map.done_bytes() + lanes.under_way.load(Ordering::Relaxed));
    }

    fn range_ended(&mut self, lanes: &Lanes<'_>, end: RangeEnd) -> Result<(), Trouble> {
        lanes.under_way.fetch_sub(end.received, Ordering::Relaxed);
        self.map.settle(end.range, end.reached);
        self.locating = self.locating && !end.asked_source;
        if end.reached > end.range.start {
            self.patience.progressed();
        }
        match end.outcome {
            Ok(report) => self.pace.succeeded(report),
            // The store says why.
            Err(RangeFailure::Disk) => {}
            Err(RangeFailure::Source(failure)) => self.failed(failure, end.begun)?,
        }
        Ok(())
    }

    fn failed(&mut self, failure: Failure, begun: Instant) -> Result<(), Trouble> {
        let wish = match reaction(&failure) {
            Reaction::GiveUp => return Err(Trouble::Final(failure.error)),
            Reaction::Changed => return Err(self.job.changed(failure.error)),
            Reaction::Lie => {
                self.lies += 1;
                if self.lies > MOST_LIES {
                    return Err(Trouble::NoRanges(failure.error));
                }
                None
            }
            Reaction::Retry { wish, ease } => {
                if ease {
                    self.pace.ease();
                }
                wish
            }
        };
        tracing::debug!(file = %self.job.file.name, error = %failure.error, "a part of a file did not come");
        let now = Instant::now();
        let pause = self.patience.failed(begun, now, wish, patience::chance());
        let Some(pause) = pause else { return Err(Trouble::Final(failure.error)) };
        self.location = None;
        self.resume_at = Some(self.resume_at.map_or(now + pause, |earlier| earlier.into_std().max(now + pause)).into());
        Ok(())
    }
}

async fn sleep_until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

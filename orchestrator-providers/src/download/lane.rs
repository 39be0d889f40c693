//! Brings one range of a file: reads the body of an answer, and hands it over block by block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Response, Url};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};

use super::answer::ByteRange;
use super::blocks::BLOCK_BYTES;
use super::client::{self, HttpClient, Opened};
use super::disk::Block;
use super::error::DownloadError;
use super::pace::RangeReport;
use super::reaction::Failure;
use super::request::{RemoteRequest, shown};
use super::settings::DownloadSettings;
use super::source::{self, Location, Pinned};
use super::stall::StallWatch;

/// Waiting for our own disk for a shorter time than this is no sign of anything.
const DISK_WAIT: Duration = Duration::from_millis(2);

/// What all ranges of a file share.
pub(super) struct Lanes<'a> {
    pub(super) client: &'a HttpClient,
    pub(super) request: &'a RemoteRequest,
    pub(super) settings: &'a DownloadSettings,
    pub(super) permits: &'a Semaphore,
    pub(super) pinned: Pinned,
    pub(super) disk: mpsc::Sender<Block>,
    pub(super) located: mpsc::UnboundedSender<Arc<Location>>,
    /// The bytes that came over the network, of all tries.
    pub(super) fetched: &'a AtomicU64,
    /// The bytes that came of ranges which are under way.
    pub(super) under_way: AtomicU64,
}

/// How a range ended.
#[derive(Debug)]
pub(super) struct RangeEnd {
    pub(super) range: ByteRange,
    /// Up to where it was handed over.
    pub(super) reached: u64,
    /// The bytes that came.
    pub(super) received: u64,
    pub(super) begun: Instant,
    /// Whether the source itself was asked where the file is.
    pub(super) asked_source: bool,
    pub(super) outcome: Result<RangeReport, RangeFailure>,
}

/// Why a range did not come.
#[derive(Debug)]
pub(super) enum RangeFailure {
    Source(Failure),
    /// Our own disk takes nothing any more.
    Disk,
}

impl From<Failure> for RangeFailure {
    fn from(failure: Failure) -> Self {
        Self::Source(failure)
    }
}

impl Lanes<'_> {
    /// Brings a range. `ready` is an answer to it that is there already.
    pub(super) async fn bring(&self, range: ByteRange, location: Option<Arc<Location>>, ready: Option<Opened>) -> RangeEnd {
        let asked_source = location.is_none() && ready.is_none();
        let mut end =
            RangeEnd { range, reached: range.start, received: 0, begun: Instant::now(), asked_source, outcome: Err(RangeFailure::Disk) };
        end.outcome = self.bring_into(&mut end, location.as_deref(), ready).await;
        end
    }

    async fn bring_into(
        &self,
        end: &mut RangeEnd,
        location: Option<&Location>,
        ready: Option<Opened>,
    ) -> Result<RangeReport, RangeFailure> {
        let range = end.range;
        let _permit = self.permits.acquire().await.map_err(|_| RangeFailure::Disk)?;
        end.begun = Instant::now();
        let opened = match ready {
            Some(opened) => opened,
            None => source::ask_again(self.client, self.request, &self.pinned, range, location, &self.located).await?,
        };
        let first_answer = end.begun.elapsed();
        let (url, away) = (opened.url, !opened.at_home);
        let failed = |error| RangeFailure::Source(Failure { error, away });
        let mut body = Body::new(opened.response, url, self.settings);
        let mut waited = Duration::ZERO;
        let mut block = Vec::new();
        while let Some(chunk) = body.next().await.map_err(failed)? {
            let count = chunk.len() as u64;
            self.fetched.fetch_add(count, Ordering::Relaxed);
            if end.received + count > range.len() {
                return Err(failed(body.mismatch(range, "more bytes than that")));
            }
            end.received += count;
            self.under_way.fetch_add(count, Ordering::Relaxed);
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                // A full block is handed over when something follows it, so that the last one waits for the end of the body.
                if block.len() as u64 == BLOCK_BYTES {
                    waited += self.hand_over(end, std::mem::take(&mut block), &mut body).await?;
                }
                if block.capacity() == 0 {
                    block.reserve_exact(usize::try_from(BLOCK_BYTES).unwrap_or_default());
                }
                let room = usize::try_from(BLOCK_BYTES).unwrap_or_default() - block.len();
                let (taken, left) = rest.split_at(room.min(rest.len()));
                block.extend_from_slice(taken);
                rest = left;
            }
        }
        if end.received < range.len() {
            return Err(failed(body.cut_off(end.received, range.len())));
        }
        waited += self.hand_over(end, block, &mut body).await?;
        Ok(RangeReport { first_answer, whole: end.begun.elapsed(), waited_for_disk: waited > DISK_WAIT })
    }

    /// Hands a block over to the disk. Returns how long that took.
    async fn hand_over(&self, end: &mut RangeEnd, data: Vec<u8>, body: &mut Body<'_>) -> Result<Duration, RangeFailure> {
        let count = data.len() as u64;
        let waited = hand_over(&self.disk, Block { index: end.reached / BLOCK_BYTES, data }, body).await?;
        end.reached += count;
        Ok(waited)
    }
}

/// Hands a block over to the disk. Returns how long that took.
pub(super) async fn hand_over(disk: &mpsc::Sender<Block>, block: Block, body: &mut Body<'_>) -> Result<Duration, RangeFailure> {
    let block = match disk.try_send(block) {
        Ok(()) => return Ok(Duration::ZERO),
        Err(TrySendError::Closed(_)) => return Err(RangeFailure::Disk),
        Err(TrySendError::Full(block)) => block,
    };
    let begun = Instant::now();
    disk.send(block).await.map_err(|_| RangeFailure::Disk)?;
    body.watch.pause(begun.elapsed());
    Ok(begun.elapsed())
}

/// The body of an answer, read with a limit on how slowly it may come.
pub(super) struct Body<'a> {
    response: Response,
    url: Url,
    watch: StallWatch,
    settings: &'a DownloadSettings,
}

impl<'a> Body<'a> {
    pub(super) fn new(response: Response, url: Url, settings: &'a DownloadSettings) -> Self {
        let watch = StallWatch::new(settings.stall_window, settings.stall_bytes, Instant::now());
        Self { response, url, watch, settings }
    }

    /// Returns what comes next; nothing, at its end.
    pub(super) async fn next(&mut self) -> Result<Option<bytes::Bytes>, DownloadError> {
        loop {
            let deadline = self.watch.deadline().into();
            let came = match tokio::time::timeout_at(deadline, self.response.chunk()).await {
                Ok(came) => came.map_err(|error| client::failure(&self.url, &error))?,
                Err(_) if self.watch.arrived(0, Instant::now()) => continue,
                Err(_) => return Err(self.stalled()),
            };
            let count = came.as_ref().map_or(0, |chunk| chunk.len() as u64);
            return match came {
                Some(_) if !self.watch.arrived(count, Instant::now()) => Err(self.stalled()),
                came => Ok(came),
            };
        }
    }

    fn stalled(&self) -> DownloadError {
        let what = format!("less than {} bytes", self.settings.stall_bytes);
        DownloadError::Stalled { url: shown(&self.url), what, after: self.settings.stall_window }
    }

    fn mismatch(&self, range: ByteRange, answer: &str) -> DownloadError {
        DownloadError::RangeMismatch { url: shown(&self.url), asked: range.to_string(), answer: answer.to_owned() }
    }

    pub(super) fn cut_off(&self, received: u64, expected: u64) -> DownloadError {
        let reason = format!("it ended after {received} of {expected} bytes");
        DownloadError::Interrupted { url: shown(&self.url), reason }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }
}

//! One file from its source to its place: lock, what is there already, the first answer, the transfer, the digest,
//! publication.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use orchestrator_core::model::Sha256Digest;
use orchestrator_core::operation::FilePhase;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::answer::{ByteRange, Content};
use super::blocks::{BlockMap, LONGEST_FILE, block_count};
use super::checkpoint::{Checkpoint, Identity};
use super::client::HttpClient;
use super::error::DownloadError;
use super::hasher::{self, Digests};
use super::lane::Lanes;
use super::lock;
use super::pace::Pace;
use super::part::{Part, PartPaths, failed};
use super::patience::{self, Patience};
use super::reaction::{Reaction, reaction};
use super::request::{RemoteFile, shown};
use super::settings::DownloadSettings;
use super::source::{self, Answer, Location, Pinned};
use super::store::{Store, StoreSettings};
use super::stream;
use super::transfer::Transfer;
use super::{FetchObserver, FetchTarget, Fetched};

/// How often a file is begun anew: it changed at its source, or what an earlier try left was damaged.
const MOST_BEGINNINGS: u32 = 3;

/// One file that is fetched.
pub(super) struct Job<'a> {
    pub(super) client: &'a HttpClient,
    pub(super) settings: &'a DownloadSettings,
    pub(super) permits: &'a Semaphore,
    pub(super) file: &'a RemoteFile,
    pub(super) paths: PartPaths,
    pub(super) observer: &'a dyn FetchObserver,
    pub(super) cancel: &'a CancellationToken,
    pub(super) fetched: AtomicU64,
}

/// Why a try did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It never will.
    Final(DownloadError),
    /// It may from the start, without anything that is here.
    Anew(DownloadError),
    /// It may as one stream: the source does not understand ranges.
    NoRanges(DownloadError),
}

impl From<DownloadError> for Trouble {
    fn from(error: DownloadError) -> Self {
        Self::Final(error)
    }
}

/// How a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Ranges,
    Stream,
}

/// Fetches a file. See [`super::Downloader::fetch`].
pub(super) async fn fetch(job: &Job<'_>, target: &FetchTarget) -> Result<Fetched, DownloadError> {
    job.observer.phase(FilePhase::Waiting);
    let waiting = || tracing::info!(file = %job.file.name, "somebody else fetches this file; waiting for it");
    let lock = Arc::new(lock::hold(&target.lock, job.settings.lock_poll, job.cancel, waiting).await?);
    if let Some(found) = job.find().await? {
        job.observer.present(found.size_bytes);
        job.observer.phase(FilePhase::Done);
        return Ok(found);
    }
    let mut mode = Mode::Ranges;
    let mut beginnings = 1;
    loop {
        let trouble = match job.attempt(mode, &lock).await {
            Ok(digests) => {
                let (size_bytes, sha256) = digests;
                job.observer.present(size_bytes);
                job.observer.phase(FilePhase::Done);
                return Ok(Fetched { size_bytes, sha256, fetched_bytes: job.fetched.load(Ordering::Relaxed) });
            }
            Err(trouble) => trouble,
        };
        match trouble {
            Trouble::Anew(error) if beginnings < MOST_BEGINNINGS => {
                tracing::warn!(file = %job.file.name, %error, "the download begins anew");
                beginnings += 1;
                job.discard().await?;
            }
            Trouble::NoRanges(error) if mode == Mode::Ranges => {
                tracing::warn!(file = %job.file.name, %error, "the source does not understand ranges; the file is fetched as one stream");
                mode = Mode::Stream;
            }
            Trouble::Final(error) | Trouble::Anew(error) | Trouble::NoRanges(error) => return Err(error),
        }
    }
}

/// Runs something that blocks on files.
async fn blocking<T: Send + 'static>(paths: &PartPaths, work: impl FnOnce(&PartPaths) -> T + Send + 'static) -> Result<T, DownloadError> {
    let owned = paths.clone();
    let done = tokio::task::spawn_blocking(move || work(&owned)).await;
    done.map_err(|error| failed("using", &paths.part)(io::Error::other(error)))
}

impl Job<'_> {
    /// Looks whether the file is there, whole and right.
    async fn find(&self) -> Result<Option<Fetched>, DownloadError> {
        let (size, promised, cancel) = (self.file.size_bytes, self.file.digest.clone(), self.cancel.clone());
        if !self.paths.target.exists() {
            return Ok(None);
        }
        self.observer.phase(FilePhase::Verifying);
        let looked = move |paths: &PartPaths| -> io::Result<Option<(u64, Digests)>> {
            let file = match File::open(&paths.target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            let length = file.metadata()?.len();
            if size.is_some_and(|size| size != length) {
                return Ok(None);
            }
            let digests = hasher::digests_of(&file, promised.as_ref(), &|| cancel.is_cancelled())?;
            Ok(digests.contradiction(promised.as_ref()).is_none().then_some((length, digests)))
        };
        let found = blocking(&self.paths, looked).await?;
        if self.cancel.is_cancelled() {
            return Err(DownloadError::Cancelled);
        }
        let found = found.map_err(failed("reading", &self.paths.target))?;
        let Some((size_bytes, digests)) = found else { return Ok(None) };
        // A kill between publication and the end leaves these.
        self.discard().await?;
        Ok(Some(Fetched { size_bytes, sha256: digests.sha256, fetched_bytes: 0 }))
    }

    pub(super) async fn discard(&self) -> Result<(), DownloadError> {
        blocking(&self.paths, PartPaths::discard).await?
    }

    /// What a file that changed at its source means: nobody can keep a promise of its content any more.
    pub(super) fn changed(&self, error: DownloadError) -> Trouble {
        if self.file.digest.is_some() { Trouble::Final(error) } else { Trouble::Anew(error) }
    }

    pub(super) fn unreadable(&self, source: io::Error) -> DownloadError {
        failed("reading", &self.paths.part)(source)
    }

    /// Goes on where an earlier try ended, or begins.
    async fn attempt(&self, mode: Mode, lock: &Arc<File>) -> Result<(u64, Sha256Digest), Trouble> {
        let mut patience = Patience::new(self.settings);
        if mode == Mode::Stream {
            return stream::fetch(self, None, patience, lock).await;
        }
        let mut earlier = blocking(&self.paths, PartPaths::checkpoint).await?.filter(|checkpoint| self.may_be_of(checkpoint));
        let mut map = earlier.as_ref().map(map_of);
        let known = map.as_mut().is_some_and(|map| map.is_complete()) && self.file.digest.is_some();
        if let (Some(checkpoint), Some(map), true) = (&earlier, &map, known) {
            // Everything is here and only has to be verified: the source need not be asked.
            let pinned = Pinned::from_checkpoint(&checkpoint.identity);
            let map = map.clone();
            return self.transfer(Beginning { pinned, earlier, map, first: None, location: None, patience }, lock).await;
        }
        // A file that is complete but has only a tag to be known by is asked for its first byte.
        let pace = Pace::new(self.settings);
        let taken = map.as_mut().and_then(|map| map.take(pace.next_range(map.missing_bytes())));
        let asked = match (&map, taken) {
            (Some(_), taken) => taken.unwrap_or(ByteRange { start: 0, end: 1 }),
            (None, _) => ByteRange { start: 0, end: pace.next_range(u64::MAX) },
        };
        let answer = self.contact(&mut patience, Some(asked)).await?;
        let (range, total) = match answer.content {
            Content::Part { range, total } => (range, total),
            Content::Whole { .. } => return stream::fetch(self, Some(answer), patience, lock).await,
        };
        self.check_length(&answer, total)?;
        let pinned = Pinned::of(self.file, &answer, total);
        let identity = self.identity(&pinned);
        if earlier.as_ref().is_some_and(|checkpoint| !checkpoint.identity.is_same_file(&identity)) {
            tracing::info!(file = %self.file.name, "the file is not the one that an earlier try began with");
            (earlier, map) = (None, None);
        }
        let location = Some(Arc::new(Location::of(&answer.opened, &self.file.request)));
        let (map, ours) = match map {
            Some(map) => (map, taken == Some(range)),
            None => begin_with(range, total),
        };
        let first = ours.then_some((range, answer.opened));
        self.transfer(Beginning { pinned, earlier, map, first, location, patience }, lock).await
    }

    fn identity(&self, pinned: &Pinned) -> Identity {
        let digest = self.file.digest.as_ref().map(|digest| digest.as_str().to_owned());
        Identity::new(shown(&self.file.request.url), pinned.total, pinned.tag(), digest)
    }

    /// Returns whether a checkpoint can be one of this file, as far as that is known before the source was asked.
    fn may_be_of(&self, checkpoint: &Checkpoint) -> bool {
        let digest = self.file.digest.as_ref().map(orchestrator_core::model::FileDigest::as_str);
        let identity = &checkpoint.identity;
        self.file.size_bytes.is_none_or(|size| size == identity.size_bytes) && identity.digest.as_deref() == digest
    }

    pub(super) fn check_length(&self, answer: &Answer, found: u64) -> Result<(), DownloadError> {
        if found > LONGEST_FILE {
            return Err(DownloadError::TooLarge { url: shown(&answer.opened.url), limit: LONGEST_FILE });
        }
        match self.file.size_bytes {
            Some(expected) if expected != found => Err(DownloadError::LengthMismatch { url: shown(&answer.opened.url), expected, found }),
            _ => Ok(()),
        }
    }

    /// Gets a first answer, with patience.
    pub(super) async fn contact(&self, patience: &mut Patience, range: Option<ByteRange>) -> Result<Answer, Trouble> {
        loop {
            let begun = Instant::now();
            let asked = async {
                let _permit = self.permits.acquire().await;
                source::ask(self.client, &self.file.request, range).await
            };
            let answered = tokio::select! {
                () = self.cancel.cancelled() => return Err(DownloadError::Cancelled.into()),
                answered = asked => answered,
            };
            let failure = match answered {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wish = match reaction(&failure) {
                Reaction::GiveUp | Reaction::Changed => return Err(failure.error.into()),
                Reaction::Lie => None,
                Reaction::Retry { wish, .. } => wish,
            };
            tracing::debug!(file = %self.file.name, error = %failure.error, "a file was asked for in vain");
            let Some(pause) = patience.failed(begun, Instant::now(), wish, patience::chance()) else {
                return Err(if reaction(&failure) == Reaction::Lie { Trouble::NoRanges(failure.error) } else { failure.error.into() });
            };
            tokio::select! {
                () = self.cancel.cancelled() => return Err(DownloadError::Cancelled.into()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn transfer(&self, beginning: Beginning, lock: &Arc<File>) -> Result<(u64, Sha256Digest), Trouble> {
        let Beginning { pinned, earlier, map, first, location, patience } = beginning;
        let (total, resumed) = (pinned.total, map.done_bytes() > 0);
        let identity = self.identity(&pinned);
        let blocks: Vec<_> = earlier.iter().flat_map(|checkpoint| checkpoint.blocks.clone()).collect();
        let part = blocking(&self.paths, move |paths| paths.begin(&identity, earlier.as_ref())).await??;
        let (mut store, disk) = self.start_store(part, blocks, Some(total), lock)?;
        store.set_end(block_count(total));
        let (located, mut locations) = mpsc::unbounded_channel();
        let digests = {
            let lanes = Lanes {
                client: self.client,
                request: &self.file.request,
                settings: self.settings,
                permits: self.permits,
                pinned,
                disk,
                located,
                fetched: &self.fetched,
                under_way: AtomicU64::new(0),
            };
            let mut transfer = Transfer::new(self, map, patience, location);
            transfer.run(&mut store, &lanes, &mut locations, first).await
        };
        // Also after a failure: what was handed over is written down before anybody else may have the lock.
        let file = store.finish().await;
        let digests = digests?;
        self.publish(file?, digests, resumed).await.map(|sha256| (total, sha256))
    }

    pub(super) fn start_store(
        &self,
        part: Part,
        earlier: Vec<(u64, u64)>,
        length: Option<u64>,
        lock: &Arc<File>,
    ) -> Result<(Store, mpsc::Sender<super::disk::Block>), DownloadError> {
        let settings = StoreSettings { paths: self.paths.clone(), length, promised: self.file.digest.clone(), lock: Arc::clone(lock) };
        Store::start(part, earlier, settings)
    }

    /// Judges what was fetched, and makes it visible.
    pub(super) async fn publish(&self, file: File, digests: Digests, resumed: bool) -> Result<Sha256Digest, Trouble> {
        if let Some(found) = digests.contradiction(self.file.digest.as_ref()) {
            let expected = self.file.digest.as_ref().map(|digest| digest.as_str().to_owned()).unwrap_or_default();
            let error = DownloadError::DigestMismatch { file: self.file.name.clone(), expected, found };
            self.discard().await?;
            return Err(if resumed { Trouble::Anew(error) } else { Trouble::Final(error) });
        }
        blocking(&self.paths, move |paths| paths.publish(&file)).await??;
        Ok(digests.sha256)
    }
}

/// With what a transfer begins.
struct Beginning {
    pinned: Pinned,
    earlier: Option<Checkpoint>,
    map: BlockMap,
    /// An answer that is there already.
    first: Option<(ByteRange, super::client::Opened)>,
    location: Option<Arc<Location>>,
    patience: Patience,
}

/// Returns the map of what an earlier try left.
fn map_of(checkpoint: &Checkpoint) -> BlockMap {
    let mut map = BlockMap::new(checkpoint.identity.size_bytes);
    checkpoint.blocks.keys().for_each(|index| map.add(*index));
    map
}

/// Returns an empty map, and whether an answer is its first range.
fn begin_with(range: ByteRange, total: u64) -> (BlockMap, bool) {
    let mut map = BlockMap::new(total);
    if range.start != 0 {
        return (map, false);
    }
    let taken = map.take(range.len().next_multiple_of(super::blocks::BLOCK_BYTES));
    let ours = taken == Some(range);
    if let Some(taken) = taken.filter(|_| !ours) {
        map.settle(taken, taken.start);
    }
    (map, ours)
}

/// Returns the bytes that are here for a target. Blocks.
pub(super) fn present_bytes(target: &Path) -> u64 {
    if let Ok(metadata) = std::fs::metadata(target) {
        return metadata.len();
    }
    PartPaths::of(target).checkpoint().map_or(0, |checkpoint| map_of(&checkpoint).done_bytes())
}

//! Files from the internet: one HTTP client with rules, and a downloader that goes on where it ended and shows nothing
//! that was not verified.
//!
//! Owns: how bytes get here, whole and right. Does not own: which files belong to a model, and where they are kept.
//!
//! ```text
//! RemoteFile ─► lock ─► checkpoint ─► ranges over several connections ─► part file ─► hasher ─► fsync, rename
//!                                          (transfer, one task)        (disk thread)  (its thread)   (publish)
//! ```

mod address;
mod answer;
mod blocks;
mod board;
mod checkpoint;
mod checksum;
mod client;
mod disk;
mod error;
mod fetch;
mod hasher;
mod lane;
mod lock;
mod pace;
mod part;
mod patience;
mod progress;
mod proxy;
mod reaction;
mod redirect;
mod remote_reader;
mod request;
mod resolver;
mod settings;
mod source;
mod stall;
mod store;
mod stream;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use orchestrator_core::model::Sha256Digest;
use orchestrator_core::operation::FilePhase;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use address::{AddressClass, AddressPolicy, AddressRefusal};
pub use client::{HttpClient, SmallAnswer};
pub use error::DownloadError;
pub use progress::{FileObserver, PullProgress};
pub use redirect::RedirectRefusal;
pub use remote_reader::RemoteReader;
pub use request::{RemoteFile, RemoteRequest, Secret, shown};
pub use settings::{DownloadSettings, HttpSettings};

use answer::{ByteRange, Content};
use fetch::Job;
use part::PartPaths;

/// Where a file is fetched to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTarget {
    /// The file. It appears whole and verified; parts lie beside it as `NAME.orch-part` and `NAME.orch-pieces`.
    pub path: PathBuf,
    /// The file whose lock says that somebody fetches it. Python's `huggingface_hub` takes the same.
    pub lock: PathBuf,
}

/// Who hears how far a file is. All calls must return at once.
pub trait FetchObserver: Send + Sync {
    /// Takes what happens to the file now.
    fn phase(&self, phase: FilePhase);
    /// Takes how many bytes of it are on this machine. May become less, when something has to be fetched again.
    fn present(&self, bytes: u64);
}

/// A file that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// The bytes that came over the network this time; nothing, for a file that was there.
    pub fetched_bytes: u64,
}

/// What a source says about a file, without the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its length in bytes, where it is told.
    pub size_bytes: Option<u64>,
    /// The tag of the file at its hub (`X-Linked-Etag`), which for large files is the SHA-256 of the content; else the one
    /// of its last address. Without quotes.
    pub etag: Option<String>,
    /// The commit it belongs to (`X-Repo-Commit`).
    pub commit: Option<String>,
    /// Whether parts of it can be fetched.
    pub ranges: bool,
}

/// Fetches files. Cheap to clone; clones share their connections and the limit on them.
#[derive(Debug, Clone)]
pub struct Downloader {
    client: HttpClient,
    settings: Arc<DownloadSettings>,
    permits: Arc<Semaphore>,
}

impl Downloader {
    /// Makes a downloader.
    #[must_use]
    pub fn new(client: HttpClient, settings: DownloadSettings) -> Self {
        let permits = Arc::new(Semaphore::new(settings.connections_in_all.max(1)));
        Self { client, settings: Arc::new(settings), permits }
    }

    /// Asks for the length and the tag of a file, by asking for its first byte: signed addresses often refuse `HEAD`.
    ///
    /// # Errors
    /// Fails when the file cannot be had, too.
    pub async fn probe(&self, file: &RemoteFile) -> Result<Probe, DownloadError> {
        let first = ByteRange { start: 0, end: 1 };
        let opened = self.client.open(&file.request, Some(first)).await?;
        let (status, headers) = (opened.response.status(), opened.response.headers());
        if !status.is_success() && status.as_u16() != 416 {
            return Err(self.client.refusal(opened).await);
        }
        let etag = opened.hub.etag.clone().or_else(|| answer::etag(headers));
        let (size_bytes, ranges) = match answer::content(&opened.url, Some(first), status, headers)? {
            Content::Part { total, .. } => (Some(total), true),
            Content::Whole { total } => (total, false),
        };
        Ok(Probe { size_bytes, etag, commit: opened.hub.commit, ranges })
    }

    /// Fetches a file into `target`, where it appears only whole and verified. Goes on where an earlier try ended. Whoever
    /// fetches the same at the same time waits, and then finds it.
    ///
    /// # Errors
    /// Fails when the file cannot be had, is not what was promised, or there is no room. What is good of it is kept.
    pub async fn fetch(
        &self,
        file: &RemoteFile,
        target: &FetchTarget,
        observer: &dyn FetchObserver,
        cancel: &CancellationToken,
    ) -> Result<Fetched, DownloadError> {
        let job = Job {
            client: &self.client,
            settings: &self.settings,
            permits: &self.permits,
            file,
            paths: PartPaths::of(&target.path),
            observer,
            cancel,
            fetched: AtomicU64::new(0),
        };
        fetch::fetch(&job, target).await
    }

    /// Returns the bytes that are here already for a target: all, or the pieces of an earlier try.
    #[must_use]
    pub fn present_bytes(&self, target: &FetchTarget) -> u64 {
        fetch::present_bytes(&target.path)
    }

    /// Opens a file at its source to be read, part by part, by a thread that may block.
    #[must_use]
    pub fn open_remote(&self, file: &RemoteFile, handle: tokio::runtime::Handle) -> RemoteReader {
        RemoteReader::new(self.client.clone(), file, handle, self.settings.most_header_bytes)
    }
}

#[cfg(test)]
mod tests;

//! Downloads from real servers, honest and lying ones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod faults;
mod honest;
mod kill;
mod others;
mod resume;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use orchestrator_core::model::{FileDigest, Sha256Digest};
use orchestrator_core::operation::FilePhase;
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use super::*;
use server::Origin;

const MIB: usize = 1 << 20;

/// Settings that give up quickly.
fn quick() -> DownloadSettings {
    DownloadSettings {
        stall_window: Duration::from_millis(500),
        stall_bytes: 1_000,
        most_failures: 5,
        most_failures_at_first: 3,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
        lock_poll: Duration::from_millis(5),
        ..DownloadSettings::default()
    }
}

fn client_for(origin: &Origin) -> HttpClient {
    let settings = HttpSettings {
        endpoints: vec![origin.url("")],
        header_timeout: Duration::from_secs(2),
        small_timeout: Duration::from_secs(3),
        ..HttpSettings::default()
    };
    HttpClient::try_new(&settings).unwrap()
}

fn downloader_for(origin: &Origin) -> Downloader {
    Downloader::new(client_for(origin), quick())
}

/// Bytes that are different everywhere.
fn content(length: usize) -> Arc<Vec<u8>> {
    let mut state: u64 = length as u64 + 1;
    let words = std::iter::from_fn(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        Some((state >> 32).to_le_bytes())
    });
    Arc::new(words.flat_map(|word| [word[0], word[1], word[2], word[3]]).take(length).collect())
}

fn sha256(data: &[u8]) -> Sha256Digest {
    Sha256Digest::from_bytes(digest(&SHA256, data).as_ref().try_into().unwrap())
}

fn promised(origin: &Origin, path: &str, data: &[u8]) -> RemoteFile {
    let digest = Some(FileDigest::Sha256(sha256(data)));
    RemoteFile { digest, size_bytes: Some(data.len() as u64), ..unknown(origin, path) }
}

/// A file of which nothing is promised.
fn unknown(origin: &Origin, path: &str) -> RemoteFile {
    RemoteFile { request: RemoteRequest::new(origin.url(path)), name: path.to_owned(), size_bytes: None, digest: None }
}

fn target_in(folder: &Path) -> FetchTarget {
    FetchTarget { path: folder.join("blobs/file"), lock: folder.join("locks/file.lock") }
}

/// Names what lies beside a target, and the target.
fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("blobs")).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Remembers what it was told, and cancels a download once so much is there.
#[derive(Debug, Default)]
struct Watcher {
    present: AtomicU64,
    phases: std::sync::Mutex<Vec<FilePhase>>,
    cancel: CancellationToken,
    cancel_at: Option<u64>,
}

impl FetchObserver for Watcher {
    fn phase(&self, phase: FilePhase) {
        self.phases.lock().unwrap().push(phase);
    }

    fn present(&self, bytes: u64) {
        self.present.store(bytes, Ordering::Relaxed);
        if self.cancel_at.is_some_and(|limit| bytes >= limit) {
            self.cancel.cancel();
        }
    }
}

async fn fetch(origin: &Origin, file: &RemoteFile, folder: &Path) -> Result<Fetched, DownloadError> {
    let watcher = Watcher::default();
    downloader_for(origin).fetch(file, &target_in(folder), &watcher, &watcher.cancel).await
}

/// Fetches until so many bytes are there, and ends.
async fn fetch_some(origin: &Origin, file: &RemoteFile, folder: &Path, bytes: u64) {
    let watcher = Watcher { cancel_at: Some(bytes), ..Watcher::default() };
    let ended = downloader_for(origin).fetch(file, &target_in(folder), &watcher, &watcher.cancel).await;
    assert!(matches!(ended, Err(DownloadError::Cancelled)), "{ended:?}");
}

fn read(folder: &Path) -> Vec<u8> {
    std::fs::read(target_in(folder).path).unwrap()
}

fn parse(text: &str) -> Url {
    Url::parse(text).unwrap()
}

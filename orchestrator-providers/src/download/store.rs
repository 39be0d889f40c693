//! The two threads behind a download, disk and hasher, as its task sees them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use orchestrator_core::model::FileDigest;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::board::Board;
use super::disk::{self, Block};
use super::error::DownloadError;
use super::hasher::{self, HasherEvent};
use super::part::{Part, PartPaths, failed};

/// The threads of one download. When it is dropped they end, and with the last of them the lock.
pub(super) struct Store {
    board: Arc<Board>,
    writer: Writer,
    events: mpsc::UnboundedReceiver<HasherEvent>,
}

/// The disk thread.
enum Writer {
    Running(JoinHandle<Result<File, DownloadError>>),
    Ended(Result<File, DownloadError>),
    /// Its result was taken.
    Gone,
}

/// What the threads are told.
pub(super) struct StoreSettings {
    pub(super) paths: PartPaths,
    /// The length, where it is known.
    pub(super) length: Option<u64>,
    pub(super) promised: Option<FileDigest>,
    /// The lock, which must not be let go before the last byte was written.
    pub(super) lock: Arc<File>,
}

impl Store {
    /// Starts the threads. `earlier` are blocks that are there, with their checksums.
    pub(super) fn start(
        part: Part,
        earlier: impl IntoIterator<Item = (u64, u64)>,
        settings: StoreSettings,
    ) -> Result<(Self, mpsc::Sender<Block>), DownloadError> {
        let StoreSettings { paths, length, promised, lock } = settings;
        let board = Arc::new(Board::new(earlier));
        let (blocks, mut queue) = mpsc::channel(disk::QUEUE);
        let (tell, events) = mpsc::unbounded_channel();
        let file = part.file.try_clone().map_err(failed("opening", &paths.part))?;
        let writer = tokio::task::spawn_blocking({
            let (board, lock) = (Arc::clone(&board), Arc::clone(&lock));
            move || {
                let written = disk::write_blocks(part, &paths, &board, &mut queue);
                drop(lock);
                written
            }
        });
        tokio::task::spawn_blocking({
            let board = Arc::clone(&board);
            move || {
                hasher::follow(&file, &board, length, promised.as_ref(), &tell);
                drop(lock);
            }
        });
        Ok((Self { board, writer: Writer::Running(writer), events }, blocks))
    }

    /// Says how many blocks the file has.
    pub(super) fn set_end(&self, blocks: u64) {
        self.board.set_end(blocks);
    }

    /// Waits for what the hasher tells. Fails when the disk takes no more. Dropping the wait loses nothing.
    pub(super) async fn next(&mut self) -> Result<HasherEvent, DownloadError> {
        loop {
            tokio::select! {
                () = self.writer.ended(), if matches!(self.writer, Writer::Running(_)) => {
                    if matches!(self.writer, Writer::Ended(Err(_))) {
                        self.writer.take().await?;
                    }
                }
                event = self.events.recv() => return event.ok_or_else(|| broken("the hasher ended")),
            }
        }
    }

    /// Waits until the disk has written what it was given, after the last sender is gone.
    pub(super) async fn finish(mut self) -> Result<File, DownloadError> {
        self.writer.take().await
    }
}

impl Writer {
    async fn ended(&mut self) {
        if let Self::Running(thread) = self {
            let ended = thread.await.unwrap_or_else(|error| Err(broken(error)));
            *self = Self::Ended(ended);
        }
    }

    async fn take(&mut self) -> Result<File, DownloadError> {
        self.ended().await;
        match std::mem::replace(self, Self::Gone) {
            Self::Ended(ended) => ended,
            Self::Running(_) | Self::Gone => Err(broken("the disk thread ended")),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.board.close();
    }
}

/// A thread of ours ended in a way that it never should.
fn broken(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DownloadError {
    failed("writing", Path::new("the part"))(std::io::Error::other(reason))
}

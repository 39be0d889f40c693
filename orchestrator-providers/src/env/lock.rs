//! File locks that work across processes, waited for without blocking a thread.
//!
//! The lock belongs to the open file, not to the process: a child that was given the file as its standard input
//! keeps it held when we are killed, so nobody takes the folder away under its hands.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::clock;

/// How waiting for a lock ended.
#[derive(Debug)]
pub(super) enum Waited {
    /// It is ours, until the file is dropped.
    Held(File),
    /// Nobody wants it any more.
    Cancelled,
}

/// Opens the file of a lock, making it and its folder where they are missing.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::options().create(true).truncate(false).write(true).read(true).open(path)
}

/// Takes a lock if nobody holds it.
pub(crate) fn try_hold(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits for a lock. `on_wait` is called once when somebody else holds it.
pub(super) async fn hold(path: &Path, cancel: &CancellationToken, on_wait: impl FnOnce() + Send) -> io::Result<Waited> {
    let mut on_wait = Some(on_wait);
    loop {
        // Opening and asking return at once; the files are local.
        if let Some(file) = try_hold(path)? {
            return Ok(Waited::Held(file));
        }
        if let Some(tell) = on_wait.take() {
            tell();
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(Waited::Cancelled),
            () = tokio::time::sleep(clock::LOCK_POLL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[tokio::test]
    async fn a_held_lock_is_waited_for_and_then_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub").join("lock");
        let held = try_hold(&path).unwrap().unwrap();
        assert!(try_hold(&path).unwrap().is_none());
        let (told, was_told) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { hold(&path, &CancellationToken::new(), || told.send(()).unwrap()).await }
        });
        was_told.await.unwrap();
        drop(held);
        assert!(matches!(waiting.await.unwrap().unwrap(), Waited::Held(_)));
    }

    #[tokio::test]
    async fn waiting_ends_when_it_is_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let _held = try_hold(&path).unwrap().unwrap();
        let cancel = CancellationToken::new();
        let tell = cancel.clone();
        assert!(matches!(hold(&path, &cancel, move || tell.cancel()).await.unwrap(), Waited::Cancelled));
    }
}

//! The lock of a file that is being fetched, which Python's `huggingface_hub` takes too. The file stays when it is let go:
//! removing it would let two others hold two locks.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::DownloadError;
use super::part::failed;
use crate::env::lock::try_hold;

/// Waits for a lock. `on_wait` is called once when somebody else holds it.
pub(super) async fn hold(
    path: &Path,
    poll: Duration,
    cancel: &CancellationToken,
    on_wait: impl FnOnce() + Send,
) -> Result<File, DownloadError> {
    let mut on_wait = Some(on_wait);
    loop {
        let held = try_hold(path).map_err(failed("locking", path))?;
        if let Some(file) = held
            && is_at(&file, path).map_err(failed("locking", path))?
        {
            return Ok(file);
        }
        if let Some(tell) = on_wait.take() {
            tell();
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(DownloadError::Cancelled),
            () = tokio::time::sleep(poll) => {}
        }
    }
}

/// Returns whether the lock is the one that others will find at that path: somebody may have removed it meanwhile.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const POLL: Duration = Duration::from_millis(2);

    #[tokio::test]
    async fn a_lock_that_was_removed_is_not_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let first = hold(&path, POLL, &CancellationToken::new(), || {}).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!is_at(&first, &path).unwrap());
        let second = hold(&path, POLL, &CancellationToken::new(), || {}).await.unwrap();
        assert!(is_at(&second, &path).unwrap() && !is_at(&first, &path).unwrap());
    }

    #[tokio::test]
    async fn waiting_can_be_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let _held = hold(&path, POLL, &CancellationToken::new(), || {}).await.unwrap();
        let cancel = CancellationToken::new();
        let tell = cancel.clone();
        assert!(matches!(hold(&path, POLL, &cancel, move || tell.cancel()).await, Err(DownloadError::Cancelled)));
    }
}

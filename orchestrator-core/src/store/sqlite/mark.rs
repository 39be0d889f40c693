//! The mark beside a database: how many changes were acknowledged.
//!
//! `SQLite` takes a write-ahead log that was cut, or is gone, as one that ended there, without a word. The database counts its
//! commits, and so does this file, a moment later and without a sync: a database that has fewer than its mark says has
//! lost some. A mark that lies behind, because we were killed or the power went, says nothing. An orderly end removes it, so
//! that a database which is put back from a copy is not taken for one that lost something.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Tells a whole mark from a torn one.
const COMPLEMENT: u64 = u64::MAX;

/// Writes the mark.
pub(super) struct Mark {
    path: PathBuf,
    /// Nothing, where it could not be opened: the database works without it.
    file: Option<File>,
    commits: u64,
}

impl Mark {
    /// Begins to write the mark at `path` for a database with so many commits.
    pub(super) fn open(path: PathBuf, commits: u64) -> Self {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        if let Err(error) = &file {
            tracing::warn!(%error, path = %path.display(), "the mark of the state database cannot be written");
        }
        let mark = Self { path, file: file.ok(), commits };
        mark.write();
        mark
    }

    /// Returns the number of the next commit.
    pub(super) fn next(&self) -> u64 {
        self.commits + 1
    }

    /// Notes that the next commit was made.
    pub(super) fn advance(&mut self) {
        self.commits += 1;
        self.write();
    }

    /// Removes the mark: the database was closed in order.
    pub(super) fn remove(self) {
        if self.file.is_some() {
            // Where it stays it is as true as before.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn write(&self) {
        let Some(file) = &self.file else { return };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.commits.to_le_bytes());
        bytes[8..].copy_from_slice(&(self.commits ^ COMPLEMENT).to_le_bytes());
        // A full disk keeps the old mark, which lies behind and says nothing.
        let _ = file.write_all_at(&bytes, 0);
    }
}

/// Reads how many commits were acknowledged; `None` when there is no mark, or no whole one.
pub(super) fn read(path: &Path) -> io::Result<Option<u64>> {
    let mut bytes = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    match read {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => return Ok(None),
        Err(error) => return Err(error),
    }
    let number = |at: usize| bytes[at..at + 8].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (commits, complement) = (number(0), number(8));
    Ok((commits ^ COMPLEMENT == complement).then_some(commits))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_mark_counts_survives_and_is_removed_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        assert_eq!(read(&path).unwrap(), None);
        let mut mark = Mark::open(path.clone(), 41);
        assert_eq!(mark.next(), 42);
        mark.advance();
        assert_eq!(read(&path).unwrap(), Some(42));
        mark.remove();
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn a_torn_mark_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        for bytes in [&[][..], &[1; 15], &[1; 16]] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap(), None, "{bytes:?}");
        }
    }
}

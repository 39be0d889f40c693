//! The lock that makes one process the owner of a home. It belongs to an open file and not to a process: who is
//! given the descriptor is given the home, and at no instant is it nobody's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Coded, ErrorCode};
use crate::home_failure;
use crate::paths::Paths;

/// Why a home could not be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnerLockError {
    #[error("the home is owned by {}", owner.as_ref().map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Owned { owner: Option<u32> },
    #[error("the lock that was handed over is not that of `{path}`")]
    Foreign { path: PathBuf },
    #[error("could not {action} `{path}`")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Coded for OwnerLockError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Owned { .. } => ErrorCode::HomeOwned,
            Self::Foreign { .. } => ErrorCode::HomeUnusable,
            Self::Io { source, .. } => home_failure::code(source),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Owned { .. } => Some("talk to it with `orch`, end it with `orch daemon stop`, or use another `--home`".to_owned()),
            Self::Foreign { .. } => None,
            Self::Io { path, source, .. } => Some(home_failure::way_out(path, source)),
        }
    }
}

/// Held for as long as this process owns the home. The system lets it go with the last process that has it open,
/// however that ends.
#[derive(Debug)]
pub struct OwnerLock {
    file: File,
}

impl From<OwnedFd> for OwnerLock {
    /// Takes what an earlier owner gave. Whether it is the lock of a home is looked at when that home is opened.
    fn from(descriptor: OwnedFd) -> Self {
        Self { file: File::from(descriptor) }
    }
}

impl AsFd for OwnerLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl OwnerLock {
    /// Creates the private folders of a home and takes its lock.
    pub(super) fn take(paths: &Paths) -> Result<Self, OwnerLockError> {
        let path = paths.owner_lock();
        create_private_dir(paths.state_dir())?;
        let io = |action: &'static str| {
            let path = path.clone();
            move |source| OwnerLockError::Io { action, path, source }
        };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io("open"))?;
        lock(&mut file, &path)?;
        sign(&mut file).map_err(io("write"))?;
        Ok(Self { file })
    }

    /// Takes the home with the lock that its owner gave, which may still have it open.
    pub(super) fn confirm(self, paths: &Paths) -> Result<Self, OwnerLockError> {
        let path = paths.owner_lock();
        let mut file = self.file;
        let io = |action: &'static str| {
            let path = path.clone();
            move |source| OwnerLockError::Io { action, path, source }
        };
        let (given, there) = (file.metadata().map_err(io("look at"))?, std::fs::metadata(&path).map_err(io("look at"))?);
        if (given.dev(), given.ino()) != (there.dev(), there.ino()) {
            return Err(OwnerLockError::Foreign { path });
        }
        // It is locked already, through this very file.
        lock(&mut file, &path)?;
        sign(&mut file).map_err(io("write"))?;
        Ok(Self { file })
    }
}

fn lock(file: &mut File, path: &Path) -> Result<(), OwnerLockError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = Read::by_ref(file).take(32).read_to_string(&mut text);
            Err(OwnerLockError::Owned { owner: read.ok().and_then(|_| text.trim().parse().ok()) })
        }
        Err(TryLockError::Error(source)) => Err(OwnerLockError::Io { action: "lock", path: path.to_path_buf(), source }),
    }
}

/// Writes down whose it is.
fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn create_private_dir(path: &std::path::Path) -> Result<(), OwnerLockError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let io = |action| move |source| OwnerLockError::Io { action, path: path.to_path_buf(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create"))?;
    // The folder may be older than this rule.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(io("protect"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_told_who_is_first() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(home.path());
        let first = OwnerLock::take(&paths).unwrap();
        let error = OwnerLock::take(&paths).unwrap_err();
        assert_eq!(error.to_string(), format!("the home is owned by process {}", std::process::id()));
        drop(first);
        assert!(OwnerLock::take(&paths).is_ok());
    }

    #[test]
    fn a_lock_that_is_handed_over_is_never_free() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(home.path());
        let first = OwnerLock::take(&paths).unwrap();
        let given = OwnerLock::from(first.as_fd().try_clone_to_owned().unwrap());
        let second = given.confirm(&paths).unwrap();
        drop(first);
        OwnerLock::take(&paths).unwrap_err();
        drop(second);
        assert!(OwnerLock::take(&paths).is_ok());
    }

    #[test]
    fn a_lock_of_another_home_is_refused() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = OwnerLock::take(&Paths::in_home(home.path())).unwrap();
        let paths = Paths::in_home(other.path());
        drop(OwnerLock::take(&paths).unwrap());
        let error = lock.confirm(&paths).unwrap_err();
        assert!(matches!(error, OwnerLockError::Foreign { .. }), "{error}");
    }

    #[test]
    fn a_home_that_is_a_file_is_refused_by_name() {
        let home = tempfile::NamedTempFile::new().unwrap();
        let error = OwnerLock::take(&Paths::in_home(home.path())).unwrap_err();
        assert_eq!(error.code(), ErrorCode::HomeUnusable);
        assert!(error.to_string().contains(&*home.path().to_string_lossy()), "{error}");
    }
}

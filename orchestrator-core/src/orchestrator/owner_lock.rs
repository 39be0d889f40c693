//! The lock that makes one process the owner of a home.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::error::{Coded, ErrorCode};
use crate::home_failure;
use crate::paths::Paths;

/// Why a home could not be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnerLockError {
    #[error("the home is owned by {}", owner.as_ref().map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Owned { owner: Option<u32> },
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
            Self::Io { source, .. } => home_failure::code(source),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Owned { .. } => "talk to it with `orch`, end it with `orch daemon stop`, or use another `--home`".to_owned(),
            Self::Io { path, source, .. } => home_failure::way_out(path, source),
        })
    }
}

/// Held for as long as this process owns the home. The system lets it go with the process, however that ends.
#[derive(Debug)]
pub(super) struct OwnerLock {
    file: File,
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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = Read::by_ref(&mut file).take(32).read_to_string(&mut text);
                return Err(OwnerLockError::Owned { owner: read.ok().and_then(|_| text.trim().parse().ok()) });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        file.set_len(0).map_err(io("write"))?;
        file.rewind().map_err(io("write"))?;
        writeln!(file, "{}", std::process::id()).map_err(io("write"))?;
        Ok(Self { file })
    }

    /// Lets the home go before the process ends.
    pub(super) fn release(&self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the lock of the home could not be let go");
        }
    }
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
        first.release();
        assert!(OwnerLock::take(&paths).is_ok());
    }

    #[test]
    fn a_home_that_is_a_file_is_refused_by_name() {
        let home = tempfile::NamedTempFile::new().unwrap();
        let error = OwnerLock::take(&Paths::in_home(home.path())).unwrap_err();
        assert_eq!(error.code(), ErrorCode::HomeUnusable);
        assert!(error.to_string().contains(&*home.path().to_string_lossy()), "{error}");
    }
}

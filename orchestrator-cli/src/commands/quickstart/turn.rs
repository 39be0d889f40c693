//! One quickstart at a time in a home: each one starts and ends what the others would be using.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use orchestrator_core::{ErrorCode, Paths, Problem};

use crate::progress::Steps;

/// How often one that waits looks.
const POLL: Duration = Duration::from_millis(100);

/// The right to be the only quickstart of a home. It ends when it is dropped, and with the process.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

/// Waits until no other quickstart is at work in this home.
pub(super) async fn take(paths: &Paths, steps: &Steps) -> Result<Turn, Problem> {
    let path = paths.state_dir().join("quickstart.lock");
    let lock = open(&path).map_err(|error| unusable("open", &path, &error))?;
    let mut step = None;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Turn { _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                step.get_or_insert_with(|| steps.begin("waiting for another quickstart of this home"));
                tokio::time::sleep(POLL).await;
            }
            Err(TryLockError::Error(error)) => return Err(unusable("lock", &path, &error)),
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

fn unusable(action: &str, path: &Path, error: &std::io::Error) -> Problem {
    let code = if error.kind() == std::io::ErrorKind::StorageFull { ErrorCode::DiskFull } else { ErrorCode::HomeUnusable };
    Problem::new(code, format!("could not {action} `{}`", path.display()))
        .with_cause(error.to_string())
        .with_hint("check the permissions and the free space of the home directory, or give another one with `--home DIR`")
}

//! Paths of Unix sockets that are longer than a socket address holds (107 bytes on Linux): they are reached through
//! `/proc/self/fd/N/name` of their opened folder.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The longest path a socket address holds, without its closing zero.
const LONGEST: usize = 107;

/// A path that fits into a socket address, for as long as this value lives.
pub(crate) struct ReachablePath {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl ReachablePath {
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// Returns a path to the same file that fits into a socket address.
pub(crate) fn reachable(path: &Path) -> std::io::Result<ReachablePath> {
    if path.as_os_str().len() <= LONGEST {
        return Ok(ReachablePath { path: path.to_path_buf(), _folder: None });
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput));
    };
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok(ReachablePath { path, _folder: Some(folder) })
}

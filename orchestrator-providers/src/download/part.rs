//! The part of a file that is here, and its checkpoint: where they lie, how they are opened, resumed, published and removed.
//! Everything here blocks.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags};

use super::checkpoint::{Checkpoint, CheckpointLog, Identity};
use super::error::DownloadError;

/// Where the files of a download lie.
#[derive(Debug, Clone)]
pub(super) struct PartPaths {
    pub(super) target: PathBuf,
    pub(super) part: PathBuf,
    pub(super) pieces: PathBuf,
}

/// The files of a download, opened.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: File,
    /// The checkpoint. None for a file that comes as one stream: it begins anew each time.
    pub(super) log: Option<CheckpointLog>,
}

/// Makes an error of what happened to a file.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = path.to_path_buf();
    move |source| DownloadError::Io { action, path, source }
}

impl PartPaths {
    pub(super) fn of(target: &Path) -> Self {
        let beside = |ending: &str| {
            let mut name = target.file_name().unwrap_or_default().to_os_string();
            name.push(ending);
            target.with_file_name(name)
        };
        Self { target: target.to_path_buf(), part: beside(".orch-part"), pieces: beside(".orch-pieces") }
    }

    /// Opens a file of ours. A link in its place is not followed.
    fn open(path: &Path) -> io::Result<File> {
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(no_follow).open(path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
    }

    /// Reads the checkpoint of an earlier try. Nothing, where there is none that fits the part.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let part = fs::symlink_metadata(&self.part).ok().filter(fs::Metadata::is_file)?;
        let pieces = fs::symlink_metadata(&self.pieces).ok().filter(fs::Metadata::is_file)?;
        if pieces.len() > 1 << 30 {
            return None;
        }
        let checkpoint = Checkpoint::read(&mut File::open(&self.pieces).ok()?).ok()??;
        (part.len() == checkpoint.identity.size_bytes).then_some(checkpoint)
    }

    /// Opens the files of a download in ranges; goes on with `earlier` where there is one, else begins anew.
    pub(super) fn begin(&self, identity: &Identity, earlier: Option<&Checkpoint>) -> Result<Part, DownloadError> {
        self.make_folder()?;
        if earlier.is_none() {
            // In this order: a checkpoint without a part is worth nothing, a part with a wrong checkpoint would be worse.
            remove(&self.pieces)?;
            remove(&self.part)?;
        }
        let file = Self::open(&self.part).map_err(failed("opening", &self.part))?;
        self.reserve(&file, identity.size_bytes)?;
        let pieces = Self::open(&self.pieces).map_err(failed("opening", &self.pieces))?;
        let log = match earlier {
            Some(checkpoint) => CheckpointLog::resume(pieces, checkpoint),
            None => CheckpointLog::begin(pieces, identity),
        };
        Ok(Part { file, log: Some(log.map_err(failed("writing", &self.pieces))?) })
    }

    /// Opens the part for a file that comes as one stream.
    pub(super) fn begin_stream(&self, size_bytes: Option<u64>) -> Result<Part, DownloadError> {
        self.make_folder()?;
        remove(&self.pieces)?;
        remove(&self.part)?;
        let file = Self::open(&self.part).map_err(failed("opening", &self.part))?;
        if let Some(size_bytes) = size_bytes {
            self.reserve(&file, size_bytes)?;
        }
        Ok(Part { file, log: None })
    }

    fn make_folder(&self) -> Result<(), DownloadError> {
        let folder = self.folder();
        fs::create_dir_all(folder).map_err(failed("making the folder", folder))
    }

    fn folder(&self) -> &Path {
        self.target.parent().unwrap_or(Path::new("."))
    }

    /// Takes the room for a file before the first byte of it comes, so that a full disk is found now.
    fn reserve(&self, file: &File, size_bytes: u64) -> Result<(), DownloadError> {
        let opened = failed("writing", &self.part);
        let metadata = file.metadata().map_err(failed("reading", &self.part))?;
        let here = metadata.blocks().saturating_mul(512).min(size_bytes);
        let needed = size_bytes - here;
        let free = free_bytes(self.folder());
        let no_space = |free| DownloadError::NoSpace { path: self.target.clone(), needed, free };
        if free.is_some_and(|free| free < needed) {
            return Err(no_space(free.unwrap_or_default()));
        }
        if size_bytes > 0 && needed > 0 {
            // Not every file system can do it; only a full one is of interest.
            let reserved = rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes);
            if let Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) = reserved {
                return Err(no_space(free.unwrap_or_default()));
            }
        }
        if metadata.len() == size_bytes { Ok(()) } else { file.set_len(size_bytes).map_err(opened) }
    }

    /// Makes the part visible under its name, whole and on the disk.
    pub(super) fn publish(&self, file: &File) -> Result<(), DownloadError> {
        file.sync_all().map_err(failed("writing", &self.part))?;
        fs::rename(&self.part, &self.target).map_err(failed("publishing", &self.target))?;
        let folder = self.folder();
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("writing the folder", folder))?;
        remove(&self.pieces)
    }

    /// Removes what is here of a download that is worth nothing.
    pub(super) fn discard(&self) -> Result<(), DownloadError> {
        remove(&self.pieces)?;
        remove(&self.part)
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<(), DownloadError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Returns the bytes that are free for us in a folder, where the file system tells.
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests;

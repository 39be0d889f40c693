//! Makes what was fetched visible: folders, links, and last of all the name of the branch.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use orchestrator_core::model::FileDigest;

use super::super::listing::Commit;
use super::super::path::RepositoryPath;
use super::CachedRepository;

/// The words of Python's own tag, by which programs that make backups know the folder.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This file is a cache directory tag created by huggingface_hub.\n\
    # For information about cache directory tags, see:\n\
    #\thttps://bford.info/cachedir/\n";

/// What of the cache could not be used.
#[derive(Debug)]
pub(in super::super) struct CacheError {
    /// What was tried.
    pub(in super::super) action: &'static str,
    /// On what.
    pub(in super::super) path: PathBuf,
    /// Why it failed.
    pub(in super::super) source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_path_buf();
    move |source| CacheError { action, path, source }
}

impl CachedRepository {
    /// Makes the folders that files of a commit are fetched into. Refuses those that lead out of the cache.
    pub(in super::super) fn prepare(&self, commit: &Commit) -> Result<(), CacheError> {
        let (blobs, snapshot) = (self.folder.join("blobs"), self.snapshot(commit));
        for folder in [&blobs, &snapshot] {
            self.make_folder(folder)?;
        }
        let locks = self.root.join(".locks").join(&self.name);
        fs::create_dir_all(&locks).map_err(failed("making", &locks))?;
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists()
            && let Err(error) = fs::write(&tag, TAG)
        {
            tracing::debug!(path = %tag.display(), %error, "the cache has no tag");
        }
        Ok(())
    }

    /// Takes a link away that stands where a blob belongs and leads out of the cache.
    pub(in super::super) fn clear_blob(&self, digest: &FileDigest) -> Result<(), CacheError> {
        let blob = self.blob(digest);
        match self.inside(&blob) {
            Err(error) if error.kind() == ErrorKind::InvalidData => fs::remove_file(&blob).map_err(failed("removing", &blob)),
            _ => Ok(()),
        }
    }

    /// Makes a blob visible as a file of a snapshot. Leaves alone what is there already and right.
    pub(in super::super) fn publish(&self, commit: &Commit, name: &RepositoryPath, digest: &FileDigest) -> Result<(), CacheError> {
        let (pointer, blob) = (name.below(&self.snapshot(commit)), self.blob(digest));
        let folder = pointer.parent().unwrap_or(&self.folder);
        self.make_folder(folder)?;
        let up = "../".repeat(name.depth() + 2);
        let target = PathBuf::from(format!("{up}blobs/{}", digest.as_str()));
        if fs::read_link(&pointer).is_ok_and(|known| known == target) {
            return Ok(());
        }
        if !blob.exists() {
            return Err(failed("linking", &pointer)(io::Error::new(ErrorKind::NotFound, "its content was removed meanwhile")));
        }
        let waiting = folder.join(format!(".{}.orch-tmp", uuid::Uuid::now_v7().simple()));
        match std::os::unix::fs::symlink(&target, &waiting) {
            Ok(()) => fs::rename(&waiting, &pointer).map_err(|error| {
                let _ = fs::remove_file(&waiting);
                failed("linking", &pointer)(error)
            }),
            // A file system without links: the file itself stands there, as with Python.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
                fs::rename(&blob, &pointer).map_err(failed("moving a file to", &pointer))
            }
            Err(error) => Err(failed("linking", &pointer)(error)),
        }
    }

    /// Writes down which commit a branch or tag stands at. Readers see the old one or the new one.
    pub(in super::super) fn write_reference(&self, revision: &str, commit: &Commit) -> Result<(), CacheError> {
        if revision == commit.as_str() || self.commit_of(revision).as_ref() == Some(commit) {
            return Ok(());
        }
        let Ok(name) = RepositoryPath::try_new(revision) else { return Ok(()) };
        let path = name.below(&self.references());
        let folder = path.parent().unwrap_or(&self.folder);
        self.make_folder(folder)?;
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".").suffix(".orch-tmp").tempfile_in(folder)?;
            file.write_all(commit.as_str().as_bytes())?;
            file.as_file().sync_all()?;
            // A file that only we may read would shut out whoever shares the cache.
            fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().map_err(failed("writing", &path))
    }

    /// Takes away the folders of a pull that brought nothing, as far as they are empty.
    pub(in super::super) fn tidy(&self, commit: &Commit) {
        // Fails where something is in them: parts of a later try, or what others fetched.
        if fs::remove_dir(self.folder.join("blobs")).is_ok() {
            let _ = fs::remove_dir(self.snapshot(commit));
            let _ = fs::remove_dir(self.folder.join("snapshots"));
            let _ = fs::remove_dir(&self.folder);
        }
    }

    fn make_folder(&self, folder: &Path) -> Result<(), CacheError> {
        fs::create_dir_all(folder).map_err(failed("making", folder))?;
        self.inside(folder).map(drop).map_err(failed("using", folder))
    }
}

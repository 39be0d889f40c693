//! Takes files of a snapshot away, and the blobs that no other snapshot uses.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::super::listing::Commit;
use super::super::path::RepositoryPath;
use super::CachedRepository;

impl CachedRepository {
    /// Removes files of a snapshot, and what only they used. Returns the bytes that became free. Files that are gone already
    /// are no error; what lies outside the repository's folder is not touched, whatever a link says.
    pub(in super::super) fn remove(&self, commit: &Commit, names: &[RepositoryPath]) -> io::Result<u64> {
        let snapshot = self.snapshot(commit);
        let (mut freed, mut blobs) = (0_u64, BTreeSet::new());
        for name in names {
            let path = name.below(&snapshot);
            // The folder is asked, not the file: a link is removed and never followed.
            match self.inside(path.parent().unwrap_or(&snapshot)) {
                Ok(Some(_)) => {}
                Err(error) if error.kind() != ErrorKind::InvalidData => return Err(error),
                _ => continue,
            }
            let found = match fs::symlink_metadata(&path) {
                Ok(found) if !found.is_dir() => found,
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => continue,
            };
            if found.is_symlink() {
                blobs.extend(self.blob_of(&path));
            } else {
                freed = freed.saturating_add(found.len());
            }
            fs::remove_file(&path)?;
            remove_empty(path.parent(), &snapshot);
        }
        let used = self.used_blobs();
        for blob in blobs.difference(&used) {
            freed = freed.saturating_add(self.remove_blob(blob)?);
        }
        self.remove_references_to_nothing();
        self.remove_if_empty();
        Ok(freed)
    }

    /// Returns the name of the blob of this repository that a link leads to.
    fn blob_of(&self, link: &Path) -> Option<String> {
        let target = link.parent()?.join(fs::read_link(link).ok()?);
        let name = target.file_name()?.to_str()?.to_owned();
        // Compared without following the blob itself, which may be a link into the store of the whole cache.
        let folder = target.parent()?.canonicalize().ok()?;
        (folder == self.folder.join("blobs").canonicalize().ok()?).then_some(name)
    }

    /// Returns the blobs that files of all snapshots lead to.
    fn used_blobs(&self) -> BTreeSet<String> {
        let files = self.snapshots().into_iter().flat_map(|commit| self.files(&commit));
        files.filter_map(|(_, file)| self.blob_of(&file.path)).collect()
    }

    fn remove_blob(&self, name: &str) -> io::Result<u64> {
        let path = self.folder.join("blobs").join(name);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_dir() => found,
            _ => return Ok(0),
        };
        fs::remove_file(&path)?;
        // What is in the store of the whole cache stays there: others may use it, and Python counts them.
        Ok(if found.is_symlink() { 0 } else { found.len() })
    }

    /// A branch that stands at a snapshot which is gone would be an error for Python.
    fn remove_references_to_nothing(&self) {
        let top = self.references();
        let mut waiting = vec![(top.clone(), 0)];
        while let Some((folder, depth)) = waiting.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten().take(super::MOST_ENTRIES) {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if depth < super::DEEPEST {
                        waiting.push((path, depth + 1));
                    }
                    continue;
                }
                let name = path.strip_prefix(&top).ok().and_then(Path::to_str).map(str::to_owned);
                let commit = name.and_then(|name| self.commit_of(&name));
                if commit.is_some_and(|commit| !self.snapshot(&commit).exists()) && fs::remove_file(&path).is_ok() {
                    remove_empty(path.parent(), &top);
                }
            }
        }
    }

    /// Removes the repository's folder once nothing is in it.
    fn remove_if_empty(&self) {
        for folder in ["snapshots", "refs", "blobs"] {
            let _ = fs::remove_dir(self.folder.join(folder));
        }
        if fs::remove_dir(&self.folder).is_err() && !self.folder.join("snapshots").exists() && self.folder.join("blobs").exists() {
            // Parts of a download are left; without this folder Python warns.
            let _ = fs::create_dir(self.folder.join("snapshots"));
        }
    }
}

/// Removes a folder and those above it, up to `top`, as far as they are empty.
fn remove_empty(folder: Option<&Path>, top: &Path) {
    let mut next = folder;
    while let Some(folder) = next.filter(|folder| folder.starts_with(top)) {
        if fs::remove_dir(folder).is_err() {
            return;
        }
        next = folder.parent();
    }
}

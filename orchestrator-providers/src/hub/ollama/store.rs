//! A store in Ollama's own layout: manifests by name, blobs by digest.
//!
//! ```text
//! manifests/registry.ollama.ai/<namespace>/<model>/<tag>   what belongs to a model; written last
//! blobs/sha256-<digest>                                    its parts; a part of several models lies there once
//! .orchestrator/                                           locks and what is being written, ours alone
//! ```
//!
//! `OLLAMA_MODELS` may point at ours. In one that Ollama keeps, nothing is ever written or removed by hand.
//!
//! Owns: reading a store, publishing into and removing from our own. Does not own: fetching. Everything in here blocks.

mod describe;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use orchestrator_core::model::Sha256Digest;
use rustix::fs::FlockOperation;

pub(super) use describe::{ModelConfig, licence_name};

use super::manifest::{self, Manifest, Part};
use super::name::LibraryName;

/// How many models of a store are listed.
const MOST_MODELS: usize = 10_000;
/// How many entries of one folder are looked at.
const MOST_ENTRIES: usize = 10_000;

/// A store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Store {
    root: PathBuf,
    /// Whether it is ours, so that what lies in it was verified by us.
    is_ours: bool,
}

/// What became of publishing a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Published {
    /// It is visible.
    Done,
    /// These parts are not there: somebody removed them meanwhile.
    Missing(Vec<Part>),
}

impl Store {
    /// Names our own store.
    pub(super) fn ours(root: PathBuf) -> Self {
        Self { root, is_ours: true }
    }

    /// Names a store that Ollama keeps.
    pub(super) fn of_ollama(root: PathBuf) -> Self {
        Self { root, is_ours: false }
    }

    /// Returns the store that a blob lies in, from its path.
    pub(super) fn around(blob: &Path) -> Option<Self> {
        let folder = blob.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "blobs"))?;
        Some(Self::of_ollama(folder.parent()?.to_path_buf()))
    }

    /// Returns its folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where a blob lies, or would.
    pub(super) fn blob(&self, digest: &Sha256Digest) -> PathBuf {
        self.root.join("blobs").join(format!("sha256-{digest}"))
    }

    /// Returns the file that is locked while a blob is fetched.
    pub(super) fn lock_of(&self, digest: &Sha256Digest) -> PathBuf {
        self.private().join(format!("sha256-{digest}.lock"))
    }

    fn private(&self) -> PathBuf {
        self.root.join(".orchestrator")
    }

    /// Says whether it can be read, by listing its manifests. `None`, when it is not there.
    pub(super) fn is_readable(&self) -> io::Result<Option<()>> {
        for folder in ["manifests", "blobs"] {
            match fs::read_dir(self.root.join(folder)) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(()))
    }

    /// Returns the manifest of a model as it lies there, or `None` for a model that is not in the store.
    pub(super) fn manifest_bytes(&self, name: &LibraryName) -> io::Result<Option<Vec<u8>>> {
        match read_at_most(&name.manifest_path(&self.root), manifest::LONGEST as u64) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(None),
            other => other.map(Some),
        }
    }

    /// Returns the length of a blob that is whole as far as can be seen.
    pub(super) fn has(&self, part: &Part) -> bool {
        fs::metadata(self.blob(&part.digest)).is_ok_and(|found| found.is_file() && found.len() == part.size_bytes)
    }

    /// Lists the models, in the order of their names.
    pub(super) fn names(&self) -> Vec<LibraryName> {
        let mut names = Vec::new();
        for (namespace, folder) in folders(&LibraryName::manifests(&self.root)) {
            for (model, folder) in folders(&folder) {
                let room = MOST_MODELS.saturating_sub(names.len());
                names.extend(files(&folder).iter().take(room).filter_map(|tag| LibraryName::from_parts(&namespace, &model, tag)));
            }
        }
        names.sort_by_key(ToString::to_string);
        names
    }

    /// Writes a small blob, whose digest was compared.
    pub(super) fn put(&self, digest: &Sha256Digest, bytes: &[u8]) -> io::Result<()> {
        self.write(&self.blob(digest), bytes)
    }

    /// Writes a file that appears whole.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        // Beside the manifests Ollama would take a file that is being written for a tag.
        let mut file = tempfile::NamedTempFile::new_in(self.private())?;
        file.write_all(bytes)?;
        set_readable(file.as_file())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }

    /// Makes a model visible, once all its parts are there. What only an earlier version of it used is removed.
    pub(super) fn publish(&self, name: &LibraryName, bytes: &[u8], manifest: &Manifest) -> io::Result<Published> {
        let _held = self.hold()?;
        let missing: Vec<_> = manifest.parts.iter().filter(|part| !self.has(part)).cloned().collect();
        if !missing.is_empty() {
            return Ok(Published::Missing(missing));
        }
        let replaced = self.manifest_bytes(name)?;
        self.write(&name.manifest_path(&self.root), bytes)?;
        if let Some(replaced) = replaced {
            self.sweep(&replaced)?;
        }
        Ok(Published::Done)
    }

    /// Removes a model and the blobs that only it used. Returns the bytes that became free.
    pub(super) fn remove(&self, name: &LibraryName) -> io::Result<u64> {
        let _held = self.hold()?;
        let path = name.manifest_path(&self.root);
        let Some(bytes) = self.manifest_bytes(name)? else { return Err(io::Error::from(io::ErrorKind::NotFound)) };
        fs::remove_file(&path)?;
        let freed = self.sweep(&bytes)?.saturating_add(bytes.len() as u64);
        let manifests = LibraryName::manifests(&self.root);
        for folder in path.ancestors().skip(1).take_while(|folder| **folder != manifests) {
            // Fails for a folder that still holds others.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(freed)
    }

    /// Removes the blobs of a manifest that is gone and that no other names. Returns the bytes that became free.
    fn sweep(&self, gone: &[u8]) -> io::Result<u64> {
        // Something that cannot be read names no blobs.
        let parts = Manifest::read(gone).map(|manifest| manifest.parts).unwrap_or_default();
        let used = self.used();
        let mut freed: u64 = 0;
        for part in parts.iter().filter(|part| !used.contains(&part.digest)) {
            let blob = self.blob(&part.digest);
            let size = fs::metadata(&blob).map_or(0, |found| found.len());
            match fs::remove_file(&blob) {
                Ok(()) => freed = freed.saturating_add(size),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(freed)
    }

    /// Every blob that a model of the store names.
    fn used(&self) -> HashSet<Sha256Digest> {
        let manifests = self.names().into_iter().filter_map(|name| self.manifest_bytes(&name).ok().flatten());
        manifests.filter_map(|bytes| Manifest::read(&bytes).ok()).flat_map(|manifest| manifest.parts).map(|part| part.digest).collect()
    }

    /// Makes the folders of our own store.
    pub(super) fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(self.root.join("blobs"))?;
        fs::create_dir_all(self.private())
    }

    /// Keeps others from publishing and removing, for the moment that either takes.
    fn hold(&self) -> io::Result<File> {
        self.prepare()?;
        let file = File::options().create(true).truncate(false).write(true).open(self.private().join("lock"))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }
}

/// Temporary files are for their owner alone; Ollama may run as somebody else.
fn set_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

/// Reads a file that is not longer than it may be.
fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// The folders in a folder, with their names.
fn folders(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_ENTRIES);
    // The kind of the entry itself: a link could lead anywhere.
    let found = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    found.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_ENTRIES);
    let found = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    found.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests;

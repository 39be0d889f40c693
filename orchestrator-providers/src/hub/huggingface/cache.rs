//! The standard cache of Hugging Face files, exactly as Python's `huggingface_hub` reads and writes it.
//!
//! ```text
//! CACHEDIR.TAG
//! .locks/models--owner--repo/<etag>.lock           held while a blob is fetched, by whoever fetches it
//! models--owner--repo/blobs/<etag>                 the contents; the etag is the SHA-256, or Git's digest of a small file
//! models--owner--repo/refs/<revision>              the commit that a branch or tag stood at
//! models--owner--repo/snapshots/<commit>/<path>    links to blobs, `../../blobs/<etag>`; plain files without links
//! ```
//!
//! Owns: where things are, and what may be read there: nothing that leads out of the repository's folder, but for the
//! store `blobs/` of the whole cache in which Python keeps what several repositories share. A blob that stands under its
//! name with its promised length is trusted, as Python does: what we put there was verified, and reading many gigabytes
//! again at every start would take minutes. Does not own: choosing, fetching, removing.

pub(super) mod publish;
pub(super) mod remove;
pub(super) mod scan;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use orchestrator_core::model::{FileDigest, Sha256Digest};

use super::listing::{Commit, ListedFile, Listing, clean};
use super::path::RepositoryPath;
use super::snapshot::CONFIG;

/// How many entries of a folder are looked at.
const MOST_ENTRIES: usize = 10_000;
/// How many files of a snapshot are looked at.
const MOST_FILES: usize = 50_000;
/// How many folders deep a snapshot is looked into.
const DEEPEST: usize = 8;
/// The branch that is meant when none is named.
pub(super) const MAIN: &str = "main";

/// The cache.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// What the cache holds of one repository.
#[derive(Debug, Clone)]
pub(super) struct CachedRepository {
    root: PathBuf,
    name: String,
    folder: PathBuf,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CachedFile {
    /// Its path in the snapshot.
    pub(super) path: PathBuf,
    /// Its length in bytes.
    pub(super) size_bytes: u64,
    /// The name of its blob, where it is a link to one.
    pub(super) blob: Option<String>,
}

impl Cache {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the part of a repository, `owner/repo`, whether it is there or not.
    pub(super) fn repository(&self, repository: &str) -> CachedRepository {
        let name = format!("models--{}", repository.replace('/', "--"));
        CachedRepository { root: self.root.clone(), folder: self.root.join(&name), name }
    }

    /// Lists the repositories that are there and that a reference can name.
    pub(super) fn repositories(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten().take(MOST_ENTRIES);
        let repository = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let (owner, rest) = name.strip_prefix("models--")?.split_once("--")?;
            // A third part could belong to either.
            let plain = !owner.is_empty() && !rest.is_empty() && !rest.contains("--");
            plain.then(|| format!("{owner}/{rest}"))
        };
        let mut names: Vec<String> = entries.filter_map(repository).collect();
        names.sort();
        names
    }
}

impl CachedRepository {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn blob(&self, digest: &FileDigest) -> PathBuf {
        self.folder.join("blobs").join(digest.as_str())
    }

    /// Returns the file that is locked while a blob is fetched: the one that Python locks too.
    pub(super) fn lock(&self, digest: &FileDigest) -> PathBuf {
        self.root.join(".locks").join(&self.name).join(format!("{}.lock", digest.as_str()))
    }

    pub(super) fn snapshot(&self, commit: &Commit) -> PathBuf {
        self.folder.join("snapshots").join(commit.as_str())
    }

    fn references(&self) -> PathBuf {
        self.folder.join("refs")
    }

    /// Returns the commit that a branch or tag stood at when it was last fetched.
    pub(super) fn commit_of(&self, revision: &str) -> Option<Commit> {
        if let Some(commit) = Commit::parse(revision) {
            return Some(commit);
        }
        let path = RepositoryPath::try_new(revision).ok()?.below(&self.references());
        let mut text = String::new();
        File::open(self.inside(&path).ok()??).ok()?.take(64).read_to_string(&mut text).ok()?;
        Commit::parse(text.trim())
    }

    /// Lists the snapshots, the newest first.
    pub(super) fn snapshots(&self) -> Vec<Commit> {
        let entries = fs::read_dir(self.folder.join("snapshots")).into_iter().flatten().flatten().take(MOST_ENTRIES);
        let dated = |entry: fs::DirEntry| {
            let commit = Commit::parse(entry.file_name().to_str()?)?;
            let folder = entry.metadata().ok().filter(fs::Metadata::is_dir)?;
            Some((folder.modified().unwrap_or(SystemTime::UNIX_EPOCH), commit))
        };
        let mut found: Vec<_> = entries.filter_map(dated).collect();
        found.sort_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, commit)| commit).collect()
    }

    /// Finds a file of a snapshot. What leads out of the cache is an error of the kind `InvalidData`.
    pub(super) fn find(&self, commit: &Commit, name: &RepositoryPath) -> io::Result<Option<CachedFile>> {
        self.look(name.below(&self.snapshot(commit)))
    }

    fn look(&self, path: PathBuf) -> io::Result<Option<CachedFile>> {
        let Some(real) = self.inside(&path)? else { return Ok(None) };
        let found = fs::metadata(&real)?;
        if !found.is_file() {
            return Ok(None);
        }
        // Only the first step of the link: Python's blob may be a link into the store of the whole cache.
        let target = fs::read_link(&path).ok();
        let blob = target.and_then(|target| Some(target.file_name()?.to_str()?.to_owned()));
        Ok(Some(CachedFile { path, size_bytes: found.len(), blob }))
    }

    /// Returns the length of a blob, where it is there.
    pub(super) fn blob_bytes(&self, digest: &FileDigest) -> io::Result<Option<u64>> {
        let Some(real) = self.inside(&self.blob(digest))? else { return Ok(None) };
        let found = fs::metadata(real)?;
        Ok(found.is_file().then_some(found.len()))
    }

    /// Follows all links of a path. `None` where nothing is there; an error where it leads out of the cache.
    pub(super) fn inside(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(error),
        };
        let own = self.folder.canonicalize()?;
        if real.starts_with(own) || self.is_shared(&real) {
            return Ok(Some(real));
        }
        let reason = format!("`{}` leads out of the cache, to `{}`", path.display(), real.display());
        Err(io::Error::new(ErrorKind::InvalidData, reason))
    }

    /// Whether a path is an entry of the store in which Python keeps what several repositories share.
    fn is_shared(&self, real: &Path) -> bool {
        const MARKER: &str = ".huggingface-shared-blobs";
        let Ok(store) = self.root.join("blobs").canonicalize() else { return false };
        let inside = self.root.canonicalize().is_ok_and(|root| store.starts_with(root));
        inside && real.strip_prefix(&store).is_ok_and(|rest| rest.components().count() == 2) && store.join(MARKER).is_file()
    }

    /// Lists what a snapshot holds, in the same form as the hub lists it.
    pub(super) fn listing(&self, commit: &Commit) -> Listing {
        let files = self.files(commit);
        let mut listing = Listing {
            commit: commit.clone(),
            licence: None,
            gated: false,
            architecture: None,
            base_model: None,
            needs_remote_code: false,
            files: Vec::new(),
        };
        for (name, file) in files {
            match name.as_str() {
                "README.md" => listing.licence = self.read_small(&file.path).and_then(|text| licence_of_card(&text)),
                CONFIG => listing.needs_remote_code = self.read_small(&file.path).is_some_and(|text| brings_code(&text)),
                _ => {}
            }
            let digest = file.blob.as_deref().and_then(digest_of);
            listing.files.push(ListedFile { name, size_bytes: Some(file.size_bytes), digest });
        }
        listing
    }

    /// Lists the files of a snapshot. What cannot be read, or leads out of the cache, is left out.
    pub(super) fn files(&self, commit: &Commit) -> Vec<(RepositoryPath, CachedFile)> {
        let mut found = Vec::new();
        let mut waiting = vec![(self.snapshot(commit), String::new(), 0)];
        while let Some((folder, prefix, depth)) = waiting.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten().take(MOST_ENTRIES) {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{prefix}{name}");
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    if depth < DEEPEST {
                        waiting.push((entry.path(), format!("{name}/"), depth + 1));
                    }
                    continue;
                }
                let file = RepositoryPath::try_new(&name).ok().zip(self.look(entry.path()).ok().flatten());
                found.extend(file);
                if found.len() >= MOST_FILES {
                    return found;
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Reads a small file of the cache.
    pub(super) fn read_small(&self, path: &Path) -> Option<String> {
        const MOST: u64 = 4 << 20;
        let mut text = Vec::new();
        File::open(self.inside(path).ok()??).ok()?.take(MOST).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// What the name of a blob says about its content.
pub(super) fn digest_of(blob: &str) -> Option<FileDigest> {
    let sha256 = || Sha256Digest::try_new(blob).ok().map(FileDigest::Sha256);
    sha256().or_else(|| FileDigest::try_git_blob(blob).ok())
}

/// Reads the licence from the head of a model's card, which is YAML between two lines of dashes.
fn licence_of_card(text: &str) -> Option<String> {
    const LONGEST_HEAD: usize = 500;
    let mut lines = text.lines();
    lines.next().filter(|line| line.trim_end() == "---")?;
    let head: Vec<&str> = lines.take_while(|line| line.trim_end() != "---").take(LONGEST_HEAD).collect();
    let value = |key: &str| {
        let line = head.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        clean(line.trim().trim_matches(['"', '\'']))
    };
    match value("license") {
        Some(word) if word == "other" => value("license_name").or(Some(word)),
        found => found,
    }
}

/// Whether a `config.json` names program code that the model brings along.
pub(super) fn brings_code(config: &str) -> bool {
    let config: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
    config.get("auto_map").and_then(serde_json::Value::as_object).is_some_and(|map| !map.is_empty())
}

#[cfg(test)]
mod tests;

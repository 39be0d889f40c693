//! Earlier owners of a home that made way and still answer the requests that had begun with them. Each keeps a note
//! in `state/draining`, locked for as long as it lives, so that every later owner knows of it, however it came to be
//! one.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;
use crate::names::InstanceName;
use crate::paths::Paths;

/// The largest note that is read.
const LARGEST_NOTE: u64 = 1024 * 1024;

/// An earlier owner of a home that still answers requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Predecessor {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Since when it is none of the owners any more.
    pub since: Timestamp,
    /// How many connections of clients it holds.
    pub connections: usize,
    /// How many requests it has under way on each instance.
    pub requests: BTreeMap<InstanceName, usize>,
}

/// Our own note, while we are such an owner. It goes with this value.
#[derive(Debug)]
pub struct DrainNote {
    file: File,
    path: PathBuf,
    content: Predecessor,
}

impl DrainNote {
    /// Writes the note of this process.
    ///
    /// # Errors
    /// Fails when the state folder cannot be written to.
    pub fn begin(paths: &Paths, version: &str, requests: BTreeMap<InstanceName, usize>) -> io::Result<Self> {
        let folder = folder_of(paths);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (pid, since) = (std::process::id(), Timestamp::now());
        let path = folder.join(format!("{pid}-{}.json", since.as_millis()));
        // It has its name only once it is locked: an unlocked one is taken for what a dead process left.
        let unnamed = path.with_extension("new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        let content = Predecessor { pid, version: version.to_owned(), since, connections: 0, requests };
        let mut note = Self { file, path: unnamed.clone(), content };
        note.write()?;
        std::fs::rename(&unnamed, &path)?;
        note.path = path;
        Ok(note)
    }

    /// Writes down how much is still under way, where that changed.
    ///
    /// # Errors
    /// Fails when the note cannot be written to.
    pub fn update(&mut self, connections: usize, requests: BTreeMap<InstanceName, usize>) -> io::Result<()> {
        if self.content.connections == connections && self.content.requests == requests {
            return Ok(());
        }
        self.content.connections = connections;
        self.content.requests = requests;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.content)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)
    }
}

impl Drop for DrainNote {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "our note could not be removed; the next owner does it");
        }
    }
}

/// Looks at the notes of a home.
#[derive(Debug, Clone)]
pub struct Predecessors {
    folder: PathBuf,
}

impl Predecessors {
    /// Looks at the notes of the home at `paths`.
    #[must_use]
    pub fn of_home(paths: &Paths) -> Self {
        Self { folder: folder_of(paths) }
    }

    /// Returns those that live, by age. What dead ones left is removed.
    #[must_use]
    pub fn list(&self) -> Vec<Predecessor> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut found: Vec<_> = paths.filter_map(|path| read(&path)).filter(|note| note.pid != std::process::id()).collect();
        found.sort_by_key(|note| note.since);
        found
    }

    /// Asks them to end at once, whatever they answer.
    pub fn end_all(&self) {
        for Predecessor { pid, .. } in self.list() {
            let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
            let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { continue };
            // It holds its note still, so what was just opened is it.
            if self.list().iter().any(|predecessor| predecessor.pid == pid)
                && let Err(error) = pidfd_send_signal(process, Signal::TERM)
            {
                tracing::debug!(pid, %error, "an earlier owner could not be asked to end");
            }
        }
    }
}

fn folder_of(paths: &Paths) -> PathBuf {
    paths.state_dir().join("draining")
}

fn read(path: &Path) -> Option<Predecessor> {
    let mut file = File::open(path).ok()?;
    let is_named = path.extension().is_some_and(|extension| extension == "json");
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) if is_named => {}
        Ok(()) if is_named || is_old(&file) => {
            // Whoever wrote it is gone. An error means that somebody else was faster.
            let _ = std::fs::remove_file(path);
            return None;
        }
        _ => return None,
    }
    // It may be just being written.
    for _ in 0..3 {
        let mut text = Vec::new();
        file.rewind().ok()?;
        Read::by_ref(&mut file).take(LARGEST_NOTE).read_to_end(&mut text).ok()?;
        match serde_json::from_slice(&text) {
            Ok(note) => return Some(note),
            Err(_) => std::thread::yield_now(),
        }
    }
    None
}

/// Whether nobody can still be about to lock it.
fn is_old(file: &File) -> bool {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > Duration::from_mins(1)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn a_note(folder: &Path, pid: u32) -> PathBuf {
        let note = Predecessor { pid, version: "1".to_owned(), since: Timestamp::now(), connections: 2, requests: BTreeMap::new() };
        let path = folder.join(format!("{pid}-1.json"));
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&path, serde_json::to_vec(&note).unwrap()).unwrap();
        path
    }

    #[test]
    fn only_those_that_live_are_listed_and_the_rest_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(home.path());
        let predecessors = Predecessors::of_home(&paths);
        assert_eq!(predecessors.list(), []);
        let (alive, dead) = (a_note(&folder_of(&paths), 1), a_note(&folder_of(&paths), 2));
        let lock = File::open(&alive).unwrap();
        lock.try_lock().unwrap();
        let found = predecessors.list();
        assert_eq!(found.iter().map(|note| note.pid).collect::<Vec<_>>(), [1]);
        assert!(alive.exists() && !dead.exists());
        drop(lock);
        assert_eq!(predecessors.list(), []);
        assert!(!alive.exists());
    }

    #[test]
    fn our_own_note_goes_with_us_and_is_not_about_a_predecessor() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(home.path());
        let mut note = DrainNote::begin(&paths, "1", BTreeMap::new()).unwrap();
        note.update(3, [(InstanceName::try_new("a").unwrap(), 2)].into()).unwrap();
        let read_back = read(&note.path).unwrap();
        assert_eq!(read_back, note.content);
        assert_eq!((read_back.connections, read_back.pid), (3, std::process::id()));
        assert_eq!(Predecessors::of_home(&paths).list(), []);
        drop(note);
        assert_eq!(std::fs::read_dir(folder_of(&paths)).unwrap().count(), 0);
    }
}

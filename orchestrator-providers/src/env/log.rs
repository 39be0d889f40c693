//! The log of one build: everything its programs said, with credentials taken out.
//!
//! Owns: where logs lie, how many are kept, what must not stand in them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use orchestrator_core::EnvKey;
use orchestrator_core::event::Timestamp;

/// How many logs of one key are kept.
const KEPT: usize = 5;

/// The log of one build.
#[derive(Debug)]
pub(super) struct BuildLog {
    path: PathBuf,
    file: Mutex<File>,
}

impl BuildLog {
    /// Begins a log and removes the oldest ones.
    pub(super) fn create(folder: &Path, key: &EnvKey) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{key}-{}.log", time_text()));
        let file = File::options().create(true).append(true).open(&path)?;
        let mut logs = of_key(folder, key)?;
        logs.sort();
        for old in logs.iter().rev().skip(KEPT) {
            fs::remove_file(old)?;
        }
        Ok(Self { path, file: Mutex::new(file) })
    }

    /// Returns where the log lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line. A log that cannot be written stops no build: a full disk shows in the build itself.
    pub(super) fn line(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        drop(writeln!(file, "{line}"));
    }
}

/// Returns the newest log of a key.
pub(super) fn newest(folder: &Path, key: &EnvKey) -> Option<PathBuf> {
    of_key(folder, key).ok()?.into_iter().max()
}

/// Returns the present moment as it stands in file names: it sorts as text.
fn time_text() -> String {
    Timestamp::now().to_string().replace(':', "-")
}

fn of_key(folder: &Path, key: &EnvKey) -> io::Result<Vec<PathBuf>> {
    // Another key may begin with this one: what follows must be a time.
    let is_time = |text: &str| text.len() == time_text().len() && text.ends_with('Z') && text.starts_with(|c: char| c.is_ascii_digit());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let time = name.to_str().and_then(|name| name.strip_prefix(key.as_str())?.strip_prefix('-')?.strip_suffix(".log"));
        if time.is_some_and(is_time) {
            found.push(folder.join(name));
        }
    }
    Ok(found)
}

/// Takes user names and passwords out of the addresses in a line.
pub(super) fn without_credentials(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '`' | '"' | '\'' | ')' | '?')).unwrap_or(after.len());
        // A password may hold an `@` of its own; the host begins after the last one.
        match after[..end].rfind('@') {
            Some(at) => {
                clean.push_str("****");
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn the_newest_five_logs_of_a_key_are_kept_and_those_of_other_keys_stay() {
        let folder = tempfile::tempdir().unwrap();
        let key = EnvKey::try_new("k").unwrap();
        let other = EnvKey::try_new("k-2").unwrap();
        BuildLog::create(folder.path(), &other).unwrap();
        for second in 10..20 {
            fs::write(folder.path().join(format!("k-2020-01-01T00-00-{second}.000Z.log")), "").unwrap();
        }
        let log = BuildLog::create(folder.path(), &key).unwrap();
        log.line("hello");
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "hello\n");
        let kept = of_key(folder.path(), &key).unwrap();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(newest(folder.path(), &key).as_deref(), Some(log.path()));
        assert!(!kept.iter().any(|path| path.to_string_lossy().contains("00-15")));
        assert_eq!(of_key(folder.path(), &other).unwrap().len(), 1);
    }

    #[test]
    fn credentials_are_taken_out_of_addresses() {
        for (line, clean) in [
            ("Failed to fetch: https://me:pa@ss@host/simple/", "Failed to fetch: https://****@host/simple/"),
            ("a http://token@h/x and ftp://u:p@i", "a http://****@h/x and ftp://****@i"),
            ("see https://host/@scope/x", "see https://host/@scope/x"),
            ("nothing here", "nothing here"),
            ("://", "://"),
        ] {
            assert_eq!(without_credentials(line), clean);
        }
    }
}

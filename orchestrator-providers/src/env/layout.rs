//! The folders of environments: versions, the `current` link, and what builds leave behind.
//!
//! Owns: where things lie, switching `current`, removing. Everything in here blocks.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use orchestrator_core::{EnvKey, Paths};
use uuid::Uuid;

/// The folders that environments and their tools live in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvPaths {
    /// The folder of all environments.
    pub envs_dir: PathBuf,
    /// The folder of programs we bring in for ourselves.
    pub tools_dir: PathBuf,
    /// The folder of what can be fetched again.
    pub cache_dir: PathBuf,
}

impl From<&Paths> for EnvPaths {
    fn from(paths: &Paths) -> Self {
        Self { envs_dir: paths.envs_dir(), tools_dir: paths.tools_dir(), cache_dir: paths.cache_dir().to_path_buf() }
    }
}

/// The name of the link to the version in use.
const CURRENT: &str = "current";

impl EnvPaths {
    /// The folder of the versions of one environment.
    pub(super) fn versions(&self, key: &EnvKey) -> PathBuf {
        self.envs_dir.join(key.as_str())
    }

    /// The folder of one version.
    pub(super) fn version(&self, key: &EnvKey, digest: &str) -> PathBuf {
        self.versions(key).join(digest)
    }

    /// The folder of what is being built.
    pub(super) fn building(&self) -> PathBuf {
        self.envs_dir.join(".tmp")
    }

    /// The folder of the logs of builds.
    pub(super) fn logs(&self) -> PathBuf {
        self.envs_dir.join(".logs")
    }

    /// The lock that whoever builds or removes a key holds.
    pub(super) fn lock(&self, key: &EnvKey) -> PathBuf {
        self.envs_dir.join(".locks").join(key.as_str())
    }

    /// The lock that whoever brings in a tool holds.
    pub(super) fn tools_lock(&self) -> PathBuf {
        self.tools_dir.join(".lock")
    }

    /// The installer that we brought in.
    pub(super) fn own_uv(&self) -> PathBuf {
        self.tools_dir.join("uv").join("bin").join("uv")
    }

    /// The installer's cache.
    pub(super) fn uv_cache(&self) -> PathBuf {
        self.cache_dir.join("uv")
    }

    /// Returns the digest that `current` names; `None` when there is no link, or it does not name a version.
    pub(super) fn current(&self, key: &EnvKey) -> io::Result<Option<String>> {
        match fs::read_link(self.versions(key).join(CURRENT)) {
            Ok(target) => Ok(single_name(&target)),
            // Something else than a link stands there: no version is named.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes `current` name `digest`, at once.
    pub(super) fn switch(&self, key: &EnvKey, digest: &str) -> io::Result<()> {
        let folder = self.versions(key);
        let new = folder.join(format!(".{CURRENT}-{}", Uuid::now_v7()));
        std::os::unix::fs::symlink(digest, &new)?;
        let current = folder.join(CURRENT);
        if current.is_dir() && !current.is_symlink() {
            remove_all(&current)?;
        }
        fs::rename(&new, &current).inspect_err(|_| drop(fs::remove_file(&new)))?;
        sync_folder(&folder)
    }

    /// Lists what earlier builds of `key` left under `.tmp`.
    pub(super) fn leftovers(&self, key: &EnvKey) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.building()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| builds(key, name)) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// Makes the path of a new build of `key`.
    pub(super) fn new_build(&self, key: &EnvKey) -> PathBuf {
        self.building().join(format!("{key}-{}", Uuid::now_v7()))
    }
}

/// Returns whether a folder under `.tmp` was made for `key` and not for a longer key that begins like it.
fn builds(key: &EnvKey, name: &str) -> bool {
    let rest = name.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| Uuid::try_parse(rest).is_ok())
}

/// Returns the text of a path that is one plain name.
fn single_name(path: &Path) -> Option<String> {
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => name.to_str().map(str::to_owned),
        _ => None,
    }
}

/// Removes a file, a link, or a folder with all that is in it. What is gone already is no error.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the names in a folder survive a crash of the machine.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Makes everything that was written to the file system of `folder` survive a crash of the machine. One call, where
/// syncing file by file would be thousands; the installer links files whose writing was never synced.
pub(super) fn sync_file_system(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(folder)?)?)
}

/// Returns the bytes of all files in a folder, links not followed. What cannot be read counts nothing.
pub(super) fn size_of(folder: &Path) -> u64 {
    let mut total = 0;
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => waiting.push(entry.path()),
                Ok(found) => total += found.len(),
                Err(_) => {}
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn paths(home: &Path) -> EnvPaths {
        EnvPaths::from(&Paths::in_home(home))
    }

    #[test]
    fn a_leftover_belongs_to_the_key_before_its_uuid() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        let short = EnvKey::try_new("llama-cpp").unwrap();
        let long = EnvKey::try_new("llama-cpp-cpu").unwrap();
        for key in [&short, &long] {
            fs::create_dir_all(paths.new_build(key)).unwrap();
        }
        fs::create_dir_all(paths.building().join("llama-cpp-something")).unwrap();
        assert_eq!(paths.leftovers(&short).unwrap().len(), 1);
        assert_eq!(paths.leftovers(&long).unwrap().len(), 1);
    }

    #[test]
    fn current_is_switched_and_never_leaves_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        let key = EnvKey::try_new("k").unwrap();
        assert_eq!(paths.current(&key).unwrap(), None);
        fs::create_dir_all(paths.versions(&key)).unwrap();
        paths.switch(&key, "a").unwrap();
        paths.switch(&key, "b").unwrap();
        assert_eq!(paths.current(&key).unwrap().as_deref(), Some("b"));
        for hostile in ["../x", "/etc", "..", "a/b"] {
            paths.switch(&key, hostile).unwrap();
            assert_eq!(paths.current(&key).unwrap(), None, "{hostile}");
        }
        assert_eq!(fs::read_dir(paths.versions(&key)).unwrap().count(), 1, "a temporary link was left");
    }

    #[test]
    fn switching_replaces_whatever_stands_in_the_way() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        let key = EnvKey::try_new("k").unwrap();
        fs::create_dir_all(paths.versions(&key).join("current/x")).unwrap();
        assert_eq!(paths.current(&key).unwrap(), None);
        paths.switch(&key, "a").unwrap();
        assert_eq!(paths.current(&key).unwrap().as_deref(), Some("a"));
    }
}

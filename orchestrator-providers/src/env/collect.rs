//! Removes the versions of an environment that nobody uses any more.
//!
//! Owns: who uses a version. That is asked of the process table and not of our own state: a server that was started from
//! a version goes on loading parts of it, whoever started it.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use orchestrator_core::EnvKey;

use super::layout::{EnvPaths, remove_all};

/// The length of a digest.
const DIGEST_LENGTH: usize = 16;

/// Lists the versions of `key` besides the one that `current` names. Without one that is named, all are left alone.
pub(super) fn old_versions(key: &EnvKey, paths: &EnvPaths) -> io::Result<Vec<PathBuf>> {
    let Some(current) = paths.current(key)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(paths.versions(key))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_version = name.len() == DIGEST_LENGTH && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
        if is_version && name != *current && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes the old versions of `key` that no process uses, and returns how many those were. The caller holds the lock of
/// the key.
pub(super) fn remove_unused(key: &EnvKey, paths: &EnvPaths) -> io::Result<usize> {
    let mut removed = 0;
    for version in old_versions(key, paths)? {
        if is_used(&version)? {
            continue;
        }
        // Out of its place at once; what is left of it after a crash goes with the leftovers of builds.
        let aside = paths.new_build(key);
        fs::create_dir_all(paths.building())?;
        fs::rename(&version, &aside)?;
        remove_all(&aside)?;
        removed += 1;
    }
    Ok(removed)
}

/// Returns whether the command line of a process names something in `folder`, or its memory holds a file from there.
fn is_used(folder: &Path) -> io::Result<bool> {
    let mut names = vec![inside(folder)];
    let real = inside(&folder.canonicalize()?);
    if !names.contains(&real) {
        names.push(real);
    }
    for entry in fs::read_dir("/proc")?.flatten() {
        let is_process = entry.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        if is_process && ["cmdline", "maps"].iter().any(|file| mentions(&entry.path().join(file), &names)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn inside(folder: &Path) -> Vec<u8> {
    let mut name = folder.as_os_str().as_bytes().to_vec();
    name.push(b'/');
    name
}

/// A process that ended meanwhile uses nothing, and one of another user was not started by us.
fn mentions(file: &Path, names: &[Vec<u8>]) -> bool {
    let Ok(content) = fs::read(file) else { return false };
    names.iter().any(|name| content.windows(name.len()).any(|part| part == name))
}

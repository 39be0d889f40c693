//! `environment.json`: what an environment says about itself.
//!
//! Owns: its form on disk, reading and checking it. It holds no absolute path, so that an environment can be moved.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use orchestrator_core::EnvKey;
use orchestrator_core::env::Environment;
use orchestrator_core::event::Timestamp;
use serde::{Deserialize, Serialize};

/// The name of the file.
const FILE_NAME: &str = "environment.json";
/// The version of its form that we write.
const FORMAT: u32 = 1;
/// No honest file is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What an environment says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The version of this form.
    pub(super) format: u32,
    /// The key.
    pub(super) key: EnvKey,
    /// The name of the folder.
    pub(super) digest: String,
    /// The digest of the recipe.
    pub(super) recipe_digest: String,
    /// The version of the engine.
    pub(super) engine_version: String,
    /// The version of Python.
    pub(super) python_version: String,
    /// The launcher script, relative to the folder.
    pub(super) launcher: String,
    /// When it was built.
    pub(super) created_at: Timestamp,
    /// Its size on disk, in bytes.
    pub(super) size_bytes: u64,
}

impl Manifest {
    /// The version of the form that is written.
    pub(super) const FORMAT: u32 = FORMAT;

    /// Reads the manifest in `folder`. The text of an error is for people.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE_NAME);
        let refuse = |reason: String| format!("`{}` {reason}", path.display());
        let file = fs::File::open(&path).map_err(|error| refuse(format!("cannot be opened: {error}")))?;
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        if text.len() as u64 > LONGEST {
            return Err(refuse("is longer than 64 KiB".to_owned()));
        }
        let manifest: Self = serde_json::from_str(&text).map_err(|error| refuse(format!("is damaged: {error}")))?;
        if manifest.format > FORMAT {
            return Err(refuse("was written by a newer version".to_owned()));
        }
        if manifest.launcher.is_empty() || manifest.launcher.contains('/') || manifest.launcher.starts_with('.') {
            return Err(refuse("names a launcher outside its folder".to_owned()));
        }
        Ok(manifest)
    }

    /// Writes the manifest into `folder` and makes it survive a crash.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = fs::File::create_new(folder.join(FILE_NAME))?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Checks that what lies in `folder` is the environment this manifest speaks of, and describes it.
    pub(super) fn environment(&self, key: &EnvKey, folder: &Path) -> Result<Environment, String> {
        let named = folder.file_name().and_then(|name| name.to_str());
        if self.key != *key || named != Some(&self.digest) {
            return Err(format!("`{}` holds another environment, `{}` `{}`", folder.display(), self.key, self.digest.escape_debug()));
        }
        let environment = Environment {
            key: key.clone(),
            digest: self.digest.clone(),
            path: folder.to_path_buf(),
            python: folder.join("bin").join("python"),
            launcher: folder.join(&self.launcher),
            engine_version: self.engine_version.clone(),
            created_at: self.created_at,
            size_bytes: self.size_bytes,
        };
        if !environment.python.is_file() {
            // The link inside is there and what it points at is not: the system's Python was replaced or removed.
            return Err(match fs::read_link(&environment.python) {
                Ok(target) => format!("its Python `{}` is gone", target.display()),
                Err(_) => format!("`{}` is missing", environment.python.display()),
            });
        }
        if !environment.launcher.is_file() {
            return Err(format!("`{}` is missing", environment.launcher.display()));
        }
        Ok(environment)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            key: EnvKey::try_new("llama-cpp-cpu").unwrap(),
            digest: "0123456789abcdef".to_owned(),
            recipe_digest: "fedcba9876543210".to_owned(),
            engine_version: "1.2".to_owned(),
            python_version: "3.11.2".to_owned(),
            launcher: "server.py".to_owned(),
            created_at: Timestamp::from_millis(1_700_000_000_000).unwrap(),
            size_bytes: 7,
        }
    }

    fn read_text(text: &[u8]) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), text).unwrap();
        Manifest::read(folder.path())
    }

    #[test]
    fn a_manifest_survives_a_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        manifest().write(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest());
    }

    #[test]
    fn a_manifest_of_the_first_version_still_loads() {
        let sample = r#"{"format":1,"key":"llama-cpp-cpu","digest":"0123456789abcdef","recipe_digest":"fedcba9876543210",
            "engine_version":"1.2","python_version":"3.11.2","launcher":"server.py","created_at":"2023-11-14T22:13:20.000Z","size_bytes":7}"#;
        assert_eq!(read_text(sample.as_bytes()).unwrap(), manifest());
    }

    #[test]
    fn every_cut_of_a_manifest_and_every_flipped_byte_is_refused_or_read_and_never_worse() {
        let whole = serde_json::to_vec_pretty(&manifest()).unwrap();
        for end in 0..whole.len() {
            read_text(&whole[..end]).unwrap_err();
        }
        for index in 0..whole.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut damaged = whole.clone();
                damaged[index] ^= bit;
                if let Ok(read) = read_text(&damaged) {
                    assert!(!read.launcher.contains('/'));
                }
            }
        }
    }

    #[test]
    fn a_manifest_that_is_hostile_is_refused_with_its_path() {
        let with = |change: &dyn Fn(&mut Manifest)| {
            let mut changed = manifest();
            change(&mut changed);
            serde_json::to_vec(&changed).unwrap()
        };
        for text in [
            b"".to_vec(),
            b"[]".to_vec(),
            b"\xff\xfe".to_vec(),
            vec![b' '; 100_000],
            with(&|m| m.format = 2),
            with(&|m| m.launcher = "../x.py".to_owned()),
            with(&|m| m.launcher = String::new()),
        ] {
            let error = read_text(&text).unwrap_err();
            assert!(error.contains("environment.json"), "{error}");
        }
    }

    #[test]
    fn a_manifest_of_another_environment_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = manifest().environment(&manifest().key, folder.path()).unwrap_err();
        assert!(error.contains("holds another environment"), "{error}");
    }
}

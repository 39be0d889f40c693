//! `state/daemon.json`: who serves a home and where, for programs that cannot ask. Written whole or not at all.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use orchestrator_core::Paths;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DaemonError, VERSION};

/// The content of `state/daemon.json`. It may outlive a daemon that was killed: who reads it asks the daemon too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonFile {
    /// The daemon's process id.
    pub pid: u32,
    /// Where clients of the gateway reach it.
    pub endpoint: String,
    /// Its version.
    pub version: String,
}

impl DaemonFile {
    pub(super) fn new(endpoint: String) -> Self {
        Self { pid: std::process::id(), endpoint, version: VERSION.to_owned() }
    }

    /// Returns where the file lies.
    #[must_use]
    pub fn path(paths: &Paths) -> PathBuf {
        paths.state_dir().join("daemon.json")
    }

    /// Reads the file; `None` where there is none or it is not ours.
    #[must_use]
    pub fn read(paths: &Paths) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(paths)).ok()?).ok()
    }

    pub(super) fn write(&self, paths: &Paths) -> Result<(), DaemonError> {
        let path = Self::path(paths);
        let temporary = path.with_extension(format!("new-{}", self.pid));
        let content =
            serde_json::to_vec(self).map_err(|error| DaemonError::System { action: "write down the address", source: error.into() })?;
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&content).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&temporary, &path));
        written.map_err(|source| {
            // What is half-written is of no use; a disk that is full is served by its going.
            let _ = std::fs::remove_file(&temporary);
            DaemonError::File { action: "write", path, source }
        })
    }

    pub(super) fn remove(paths: &Paths) {
        if let Err(error) = std::fs::remove_file(Self::path(paths)) {
            tracing::warn!(%error, "could not remove the daemon's file");
        }
    }
}

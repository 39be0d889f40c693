//! Which home is meant, and what this process knows of its surroundings. The only module that reads environment
//! variables; they are those of the `orch` command and mean the same.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use orchestrator_core::Paths;
use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_providers::ProviderSettings;

/// The last part of each XDG directory.
const DIRECTORY_NAME: &str = "orchestrator";

/// Why no home can be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// There is no home directory of the user.
    #[error("there is no home directory to keep files in")]
    NoHomeDirectory,
    /// Something else stands where the home should be.
    #[error("the home `{path}` is not a directory")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The current directory is needed and cannot be told.
    #[error("could not make `{path}` an absolute path")]
    NotAbsolute {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Coded for HomeError {
    fn code(&self) -> ErrorCode {
        ErrorCode::HomeUnusable
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHomeDirectory => "give one with `Orchestrator(home=...)`, or set `ORCH_HOME`".to_owned(),
            Self::NotADirectory { .. } => "choose another `home`".to_owned(),
            Self::NotAbsolute { .. } => "give an absolute path as `home`".to_owned(),
        })
    }
}

/// Finds the home: the argument, else `ORCH_HOME`, else the XDG directories.
pub(crate) fn find(argument: Option<PathBuf>) -> Result<Paths, HomeError> {
    if let Some(directory) = argument.or_else(|| variable("ORCH_HOME").map(PathBuf::from)) {
        let path = absolute(&directory)?;
        let is_something_else = std::fs::metadata(&path).is_ok_and(|found| !found.is_dir());
        return if is_something_else { Err(HomeError::NotADirectory { path }) } else { Ok(Paths::in_home(&path)) };
    }
    let base = etcetera::choose_base_strategy().map_err(|_| HomeError::NoHomeDirectory)?;
    let cache = base.cache_dir();
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(Paths::in_directories(
        base.config_dir().join(DIRECTORY_NAME),
        base.data_dir().join(DIRECTORY_NAME),
        state.join(DIRECTORY_NAME),
        cache.join(DIRECTORY_NAME),
    ))
}

/// Collects what the default wiring wants to know.
pub(crate) fn provider_settings() -> ProviderSettings {
    let caches = etcetera::choose_base_strategy().ok().map(|base| base.cache_dir());
    ProviderSettings::from_variables(&variable, caches.as_deref())
}

/// Returns the key for a daemon elsewhere.
pub(crate) fn api_key() -> Option<String> {
    variable("ORCH_API_KEY").map(|key| key.to_string_lossy().into_owned())
}

/// Reads a variable. An empty one counts as none.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Makes a path absolute and takes out `.` and `..` without asking the disk.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, HomeError> {
    let absolute = std::path::absolute(path).map_err(|source| HomeError::NotAbsolute { path: path.to_path_buf(), source })?;
    let mut clean = PathBuf::new();
    for component in absolute.components() {
        match component {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Ok(clean)
}

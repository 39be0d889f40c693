//! Which home the command works on: `--home`, `ORCH_HOME`, or the XDG directories; or a daemon elsewhere.
//! The only place that asks the system where a user's files lie.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use orchestrator_core::Paths;
use orchestrator_core::error::{Coded, ErrorCode};

use crate::args::Globals;
use crate::env_vars;

/// The last part of each XDG directory.
const DIRECTORY_NAME: &str = "orchestrator";

/// Why no home can be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HomeError {
    /// There is no home directory of the user.
    #[error("there is no home directory to keep files in")]
    NoHomeDirectory,
    /// The current directory is needed and cannot be told.
    #[error("could not make `{path}` an absolute path")]
    NotAbsolute {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The URL of the other daemon is no text.
    #[error("`{variable}` is not valid UTF-8")]
    NotText {
        /// The variable.
        variable: &'static str,
    },
}

impl Coded for HomeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoHomeDirectory | Self::NotAbsolute { .. } => ErrorCode::HomeUnusable,
            Self::NotText { .. } => ErrorCode::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoHomeDirectory => Some("give one with `--home DIR`, or set `ORCH_HOME`".to_owned()),
            Self::NotAbsolute { .. } => Some("give an absolute path with `--home DIR`".to_owned()),
            Self::NotText { variable } => Some(format!("set `{variable}` to a text, or take it away")),
        }
    }
}

/// Where a home's files lie, and how to name that home in another command line.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// The folders and files.
    pub(crate) paths: Paths,
    /// The directory it was asked for by, absolute; `None` for the XDG directories.
    pub(crate) directory: Option<PathBuf>,
}

impl Home {
    /// Finds the home that the options and the environment ask for.
    pub(crate) fn find(globals: &Globals) -> Result<Self, HomeError> {
        let chosen = globals.home.clone().or_else(|| env_vars::HOME.read().map(PathBuf::from));
        if let Some(directory) = chosen {
            let directory = absolute(&directory)?;
            return Ok(Self { paths: Paths::in_home(&directory), directory: Some(directory) });
        }
        let base = etcetera::choose_base_strategy().map_err(|_| HomeError::NoHomeDirectory)?;
        let cache = base.cache_dir();
        let state = base.state_dir().unwrap_or_else(|| base.data_dir());
        let paths = Paths::in_directories(
            base.config_dir().join(DIRECTORY_NAME),
            base.data_dir().join(DIRECTORY_NAME),
            state.join(DIRECTORY_NAME),
            cache.join(DIRECTORY_NAME),
        );
        Ok(Self { paths, directory: None })
    }
}

/// Returns the URL of a daemon elsewhere, where one is asked for. An explicit `--home` wins over `ORCH_HOST`.
pub(crate) fn remote_host(globals: &Globals) -> Result<Option<String>, HomeError> {
    if globals.host.is_some() || globals.home.is_some() {
        return Ok(globals.host.clone());
    }
    let Some(value) = env_vars::HOST.read() else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| HomeError::NotText { variable: env_vars::HOST.name })
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

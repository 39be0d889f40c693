//! Why a configuration cannot be used: where, what was found, what was expected, and the way out.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Coded, ErrorCode, causes_of};
use crate::names::NameError;

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The most faults of one file that are reported.
pub(super) const MOST_FAULTS: usize = 50;

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigFault {
    /// Where it is.
    pub at: Option<Position>,
    /// The path of the key, such as `server.port`; empty for the file as a whole.
    pub key: String,
    /// What was found and what was expected: a lowercase fragment.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
}

impl ConfigFault {
    pub(super) fn new(at: Option<Position>, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at, key: key.into(), message: message.into(), hint: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Why a configuration cannot be used or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such file.
    #[error("there is no configuration `{}`", file.display())]
    NotFound {
        /// The file.
        file: PathBuf,
    },
    /// The file or folder cannot be read.
    #[error("could not read `{}`", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The file holds something that is not allowed.
    #[error("{}", describe(file, faults))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong in it, from its top to its end; at least one.
        faults: Vec<ConfigFault>,
    },
    /// The folder of an instance has a name that no instance can have.
    #[error("the folder `{}` cannot hold an instance", folder.display())]
    FolderName {
        /// The folder.
        folder: PathBuf,
        /// The rule its name breaks.
        #[source]
        source: NameError,
    },
    /// Several configurations claim the same thing.
    #[error("{subject} is claimed by {}", list_files(files))]
    Conflict {
        /// What they claim, such as ``port `8080` ``.
        subject: String,
        /// The files, sorted.
        files: Vec<PathBuf>,
        /// What to do.
        hint: String,
    },
    /// A file that was to be written is there already.
    #[error("`{}` exists already", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// A file could not be written.
    #[error("could not write `{}`", file.display())]
    NotWritten {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl ConfigError {
    /// Returns everything that is wrong inside the file, from its top to its end.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        match self {
            Self::Invalid { faults, .. } => faults,
            _ => &[],
        }
    }

    /// Returns the files and folders that the error is about.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::NotFound { file } | Self::Invalid { file, .. } | Self::Exists { file } | Self::NotWritten { file, .. } => {
                vec![file.clone()]
            }
            Self::Unreadable { path, .. } => vec![path.clone()],
            Self::FolderName { folder, .. } => vec![folder.clone()],
            Self::Conflict { files, .. } => files.clone(),
        }
    }

    pub(super) fn invalid(file: &std::path::Path, mut faults: Vec<ConfigFault>) -> Self {
        faults.sort_by_key(|fault| fault.at.unwrap_or(Position { line: 0, column: 0 }));
        faults.truncate(MOST_FAULTS);
        Self::Invalid { file: file.to_path_buf(), faults }
    }
}

fn describe(file: &std::path::Path, faults: &[ConfigFault]) -> String {
    match faults {
        [fault @ ConfigFault { at: Some(_), .. }] => format!("{}:{fault}", file.display()),
        [fault] => format!("{}: {fault}", file.display()),
        _ if faults.len() == MOST_FAULTS => format!("`{}` has {MOST_FAULTS} faults or more", file.display()),
        _ => format!("`{}` has {} faults", file.display(), faults.len()),
    }
}

fn list_files(files: &[PathBuf]) -> String {
    let quoted: Vec<_> = files.iter().map(|file| format!("`{}`", file.display())).collect();
    quoted.join(" and by ")
}

impl Coded for ConfigError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::ConfigNotFound,
            Self::Unreadable { .. } | Self::NotWritten { .. } => ErrorCode::ConfigUnreadable,
            Self::Invalid { .. } | Self::FolderName { .. } => ErrorCode::ConfigInvalid,
            Self::Conflict { .. } => ErrorCode::ConfigConflict,
            Self::Exists { .. } => ErrorCode::ConfigExists,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some("`orch init NAME --model REF` writes one".to_owned()),
            Self::Unreadable { source, .. } | Self::NotWritten { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => Some("check its owner and its permissions".to_owned()),
                _ => None,
            },
            // With several faults each shows its own hint beside it.
            Self::Invalid { faults, .. } => match faults.as_slice() {
                [fault] => fault.hint.clone(),
                _ => None,
            },
            Self::FolderName { .. } => {
                Some("rename the folder: lowercase letters, digits and inner `-`; a leading `.` makes it ignored".to_owned())
            }
            Self::Conflict { hint, .. } => Some(hint.clone()),
            Self::Exists { .. } => Some("choose another name, or edit the file that is there".to_owned()),
        }
    }

    fn causes(&self) -> Vec<String> {
        match self {
            Self::Invalid { faults, .. } if faults.len() > 1 => faults.iter().map(with_hint).collect(),
            _ => causes_of(self),
        }
    }
}

fn with_hint(fault: &ConfigFault) -> String {
    fault.hint.as_ref().map_or_else(|| fault.to_string(), |hint| format!("{fault} ({hint})"))
}

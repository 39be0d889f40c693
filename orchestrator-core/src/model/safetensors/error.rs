//! Why files are not a safetensors model we can use.

use std::io;

use crate::error::{Coded, ErrorCode};

/// Why a safetensors model could not be read. The path is the caller's to add.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// The input could not be read.
    #[error("the file cannot be read")]
    Unreadable {
        /// What the operating system or the network said.
        #[source]
        source: io::Error,
    },
    /// The file is too short to be one.
    #[error("not a safetensors file: it has {file_bytes} bytes")]
    TooShort {
        /// The size of the file.
        file_bytes: u64,
    },
    /// The header does not begin like one.
    #[error("not a safetensors file: its header does not begin with `{{`")]
    NotSafetensors,
    /// The file ends in the middle of the header.
    #[error("the file is cut off: its header claims {claimed} bytes, but only {remaining} are left")]
    HeaderCutOff {
        /// The length that the file claims.
        claimed: u64,
        /// The bytes up to the end of the file.
        remaining: u64,
    },
    /// A length or a count is over the limit set for it.
    #[error("{what} has {found} {unit}, over the limit of {limit}")]
    OverLimit {
        /// What is too large.
        what: &'static str,
        /// The size found.
        found: u64,
        /// What is counted.
        unit: &'static str,
        /// The most allowed.
        limit: u64,
    },
    /// A document is not the JSON that it should be.
    #[error("{what} cannot be understood: {reason}")]
    BadJson {
        /// Which document.
        what: &'static str,
        /// What the reader said.
        reason: String,
    },
    /// A tensor's shape does not match its bytes.
    #[error("tensor {tensor} has a shape and a type for {expected} bytes, and {found} of the file")]
    BadSize {
        /// The tensor.
        tensor: String,
        /// What the shape and the type take, or "too many".
        expected: String,
        /// The bytes between its offsets.
        found: u64,
    },
    /// A tensor does not begin where the one before it ends.
    #[error("tensor {tensor} begins at data offset {offset}, and the one before it ends at {expected}")]
    NotContiguous {
        /// The tensor.
        tensor: String,
        /// Where it begins.
        offset: u64,
        /// Where it must begin.
        expected: u64,
    },
    /// The tensors do not end where the file does.
    #[error("the tensors take {needed} bytes of data, and the file has {found}")]
    WrongLength {
        /// The bytes of the tensors.
        needed: u64,
        /// The bytes after the header.
        found: u64,
    },
    /// A name in the index leaves its folder, or is no name of such a file.
    #[error("the index names the file {name}, which is no plain name of a safetensors file")]
    BadFileName {
        /// The name.
        name: String,
    },
    /// A tensor of the index is not in the file that it names.
    #[error("tensor {tensor} is not in {file}, where the index says it is")]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// The file.
        file: String,
    },
}

impl Coded for SafetensorsError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unreadable { .. } => ErrorCode::ModelUnreadable,
            Self::TooShort { .. }
            | Self::NotSafetensors
            | Self::HeaderCutOff { .. }
            | Self::OverLimit { .. }
            | Self::BadJson { .. }
            | Self::BadSize { .. }
            | Self::NotContiguous { .. }
            | Self::WrongLength { .. }
            | Self::BadFileName { .. }
            | Self::MissingTensor { .. } => ErrorCode::ModelInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreadable { .. } => "check that this user may read the file and every directory above it",
            Self::TooShort { .. } | Self::HeaderCutOff { .. } | Self::WrongLength { .. } => {
                "the download or copy did not finish: fetch the file again and compare its size and digest"
            }
            Self::NotSafetensors => "the file is something else under that name: fetch it again, or from another source",
            Self::OverLimit { .. } => "the file is damaged or not a model; if it works elsewhere, report it with this message",
            Self::MissingTensor { .. } => "the files belong to different versions: fetch all of them again, of one revision",
            Self::BadJson { .. } | Self::BadSize { .. } | Self::NotContiguous { .. } | Self::BadFileName { .. } => {
                "the file is damaged or was written wrongly: fetch it again, or from another source"
            }
        };
        Some(hint.to_owned())
    }
}

/// Shows a name from a file: in backticks, escaped, and not longer than a line.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 80;
    let mut text: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

/// Describes what a JSON reader refused, without control characters of the document.
pub(super) fn bad_json(what: &'static str, error: &serde_json::Error) -> SafetensorsError {
    let reason = error
        .to_string()
        .chars()
        .take(200)
        .flat_map(|each| if each.is_control() { each.escape_debug().collect() } else { vec![each] })
        .collect();
    SafetensorsError::BadJson { what, reason }
}

/// Refuses what is over its limit.
pub(super) fn check_limit(what: &'static str, found: u64, unit: &'static str, limit: u64) -> Result<(), SafetensorsError> {
    if found <= limit { Ok(()) } else { Err(SafetensorsError::OverLimit { what, found, unit, limit }) }
}

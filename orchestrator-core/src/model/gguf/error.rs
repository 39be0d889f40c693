//! Why a file is not a GGUF file we can use.

use std::io;

use super::{FoundInstead, GgufValueType};
use crate::error::{Coded, ErrorCode};

/// Why a GGUF header could not be read. The path is the caller's to add; offsets count bytes from the file's start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// Nothing is at the path.
    #[error("no such file")]
    Missing,
    /// The path names a directory.
    #[error("it is a directory, not a file")]
    Directory,
    /// The path names a device, a pipe or a socket.
    #[error("it is not a regular file")]
    NotAFile,
    /// The operating system refused to open or read the file.
    #[error("the file cannot be read")]
    Unreadable {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file begins like something else.
    #[error("not a GGUF file: it looks like {found}")]
    NotGguf {
        /// What the first bytes look like.
        found: FoundInstead,
    },
    /// The file was written for big-endian machines.
    #[error("a big-endian GGUF file (version {version}); only little-endian files are supported")]
    BigEndian {
        /// The version, in the file's own byte order.
        version: u32,
    },
    /// The format's version is not one we read.
    #[error("GGUF version {version} is not supported; versions 2 and 3 are")]
    UnsupportedVersion {
        /// The version in the file.
        version: u32,
    },
    /// The file ends in the middle of the header.
    #[error("the file is cut off: {what} at byte {offset} needs {needed} bytes, but only {remaining} are left")]
    HeaderCutOff {
        /// What was being read.
        what: String,
        /// Where it begins.
        offset: u64,
        /// The bytes it needs.
        needed: u64,
        /// The bytes up to the end of the file.
        remaining: u64,
    },
    /// A count or length is larger than the rest of the file could hold.
    #[error(
        "the header claims more than the file holds: {what} at byte {offset} claims {claimed}, which needs at least \
         {needed} bytes, but only {remaining} are left"
    )]
    ClaimsTooMuch {
        /// What makes the claim.
        what: String,
        /// Where the claim stands.
        offset: u64,
        /// The claimed count or length.
        claimed: u64,
        /// The fewest bytes that would need.
        needed: u64,
        /// The bytes up to the end of the file.
        remaining: u64,
    },
    /// The header goes on after the bytes that are at hand (never for a whole file).
    #[error("the header goes on: {needed} bytes from the start are needed, {available} are at hand")]
    NeedMore {
        /// The bytes needed to get one step further, counted from the file's start.
        needed: u64,
        /// The bytes at hand, counted from the file's start.
        available: u64,
    },
    /// A count, length or depth is over the limit set for it.
    #[error("{what} at byte {offset} has {found} {unit}, over the limit of {limit}")]
    OverLimit {
        /// What is too large.
        what: String,
        /// Where it stands.
        offset: u64,
        /// The size found.
        found: u64,
        /// What is counted.
        unit: &'static str,
        /// The most allowed.
        limit: u64,
    },
    /// A name is not UTF-8 text, or is empty.
    #[error("{what} at byte {offset} is {problem}")]
    BadName {
        /// Which name.
        what: String,
        /// Where its text begins.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A metadata key stands twice.
    #[error("metadata key {key} at byte {offset} is there twice")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where the second one begins.
        offset: u64,
    },
    /// A tensor name stands twice.
    #[error("tensor {tensor} at byte {offset} is there twice")]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// Where the second one begins.
        offset: u64,
    },
    /// A metadata value has a type that the format does not define.
    #[error("{what} at byte {offset} has value type {found}; the format has types 0 to 12")]
    UnknownValueType {
        /// Which value.
        what: String,
        /// Where the type stands.
        offset: u64,
        /// The number found.
        found: u32,
    },
    /// A truth value is neither 0 nor 1.
    #[error("{what} at byte {offset} is a truth value of {found}; expected 0 or 1")]
    BadBool {
        /// Which value.
        what: String,
        /// Where it stands.
        offset: u64,
        /// The byte found.
        found: u8,
    },
    /// A key that this reader depends on has the wrong type.
    #[error("metadata key `{key}` is a {found}; expected a {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The type it must have.
        expected: GgufValueType,
        /// The type it has.
        found: GgufValueType,
    },
    /// The alignment is not a power of two of at least 8.
    #[error("`general.alignment` is {found}; expected a power of two from 8 to 16777216")]
    BadAlignment {
        /// The alignment found.
        found: u32,
    },
    /// A tensor has a type that is not in our table.
    #[error("tensor {tensor} has type {found}, which this version does not know")]
    UnknownTensorType {
        /// The tensor.
        tensor: String,
        /// The number of the type.
        found: u32,
    },
    /// A tensor's shape cannot be stored in its type: the product overflows, or a row is not whole blocks.
    #[error("tensor {tensor} has shape {shape:?}, which {tensor_type} cannot hold: {problem}")]
    BadShape {
        /// The tensor.
        tensor: String,
        /// Its dimensions, the contiguous one first.
        shape: Vec<u64>,
        /// The name of its type.
        tensor_type: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A tensor does not begin at a multiple of the alignment.
    #[error("tensor {tensor} begins at data offset {offset}, which is not a multiple of the alignment {alignment}")]
    Misaligned {
        /// The tensor.
        tensor: String,
        /// Where it begins, counted from the data offset.
        offset: u64,
        /// The file's alignment.
        alignment: u32,
    },
    /// Two tensors share bytes.
    #[error("tensors {first} and {second} overlap")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
    },
    /// The weights go on after the end of the file.
    #[error(
        "the file is cut off: {missing} bytes are missing (tensor {tensor} ends at byte {needed}, the file at byte \
         {file_bytes})"
    )]
    DataCutOff {
        /// The tensor that ends last.
        tensor: String,
        /// Where it ends, counted from the file's start: the size a whole file has at least.
        needed: u64,
        /// The size of the file.
        file_bytes: u64,
        /// The difference.
        missing: u64,
    },
}

impl Coded for GgufError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Missing => ErrorCode::ModelNotFound,
            Self::Directory | Self::NotAFile | Self::Unreadable { .. } => ErrorCode::ModelUnreadable,
            Self::Empty
            | Self::NotGguf { .. }
            | Self::BigEndian { .. }
            | Self::UnsupportedVersion { .. }
            | Self::HeaderCutOff { .. }
            | Self::ClaimsTooMuch { .. }
            | Self::NeedMore { .. }
            | Self::OverLimit { .. }
            | Self::BadName { .. }
            | Self::DuplicateKey { .. }
            | Self::DuplicateTensor { .. }
            | Self::UnknownValueType { .. }
            | Self::BadBool { .. }
            | Self::WrongType { .. }
            | Self::BadAlignment { .. }
            | Self::UnknownTensorType { .. }
            | Self::BadShape { .. }
            | Self::Misaligned { .. }
            | Self::Overlap { .. }
            | Self::DataCutOff { .. } => ErrorCode::ModelInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(self.way_out().to_owned())
    }
}

impl GgufError {
    /// Returns the way out, as one sentence.
    fn way_out(&self) -> &'static str {
        match self {
            Self::Missing => "check the path for a typing mistake, and that the disk it is on is mounted",
            Self::Directory => "name the `.gguf` file inside the directory; of a split model, the first part",
            Self::NotAFile => "name a regular `.gguf` file",
            Self::Unreadable { .. } => "check that this user may read the file and every directory above it",
            Self::Empty | Self::HeaderCutOff { .. } | Self::DataCutOff { .. } => {
                "the download or copy did not finish: fetch the file again and compare its size and digest"
            }
            Self::NotGguf { found } => found.hint(),
            Self::BigEndian { .. } => "fetch the little-endian file, or convert it with llama.cpp's `gguf_convert_endian.py`",
            Self::UnsupportedVersion { version: 0 | 1 } => "fetch a newer conversion of the model, or convert it again",
            Self::UnsupportedVersion { .. } | Self::UnknownTensorType { .. } => {
                "update this program, or choose a file with another quantisation"
            }
            Self::NeedMore { .. } => "fetch more of the file and read the header again",
            Self::OverLimit { .. } => "the file is damaged or not a model; if it works elsewhere, report it with this message",
            Self::ClaimsTooMuch { .. }
            | Self::BadName { .. }
            | Self::DuplicateKey { .. }
            | Self::DuplicateTensor { .. }
            | Self::UnknownValueType { .. }
            | Self::BadBool { .. }
            | Self::WrongType { .. }
            | Self::BadAlignment { .. }
            | Self::BadShape { .. }
            | Self::Misaligned { .. }
            | Self::Overlap { .. } => "the file is damaged or was written wrongly: fetch it again, or from another source",
        }
    }
}

/// Shows a name from the file: in backticks, escaped, and not longer than a line.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 80;
    let mut text: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

//! Digests of files: what a source says a file is, and what was found.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no digest: {length} hexadecimal digits are needed")]
pub struct DigestError {
    text: String,
    length: usize,
}

/// A SHA-256 digest, as 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Sha256Digest(String);

impl Sha256Digest {
    /// Takes a digest from its hexadecimal form, with or without `sha256:` in front.
    ///
    /// # Errors
    /// Fails when it is anything but 64 hexadecimal digits. So a digest is always safe as a file's name.
    pub fn try_new(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        hexadecimal(digits, 64).map(Self)
    }

    /// Makes a digest of its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
        Self(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect())
    }

    /// Returns the hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::try_new(text)
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::try_new(&text)
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.0
    }
}

/// What a source says the content of a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileDigest {
    /// SHA-256 of the content.
    Sha256(Sha256Digest),
    /// Git's object identity: SHA-1 of `blob LENGTH\0` and the content, as 40 hexadecimal digits.
    GitBlob(String),
}

impl FileDigest {
    /// Takes the identity of a Git object.
    ///
    /// # Errors
    /// Fails when it is anything but 40 hexadecimal digits.
    pub fn try_git_blob(text: &str) -> Result<Self, DigestError> {
        hexadecimal(text, 40).map(Self::GitBlob)
    }

    /// Returns the hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(digest) => digest.as_str(),
            Self::GitBlob(digits) => digits,
        }
    }
}

fn hexadecimal(text: &str, length: usize) -> Result<String, DigestError> {
    if text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(DigestError { text: text.chars().take(100).flat_map(char::escape_debug).collect(), length })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_digest_is_64_digits_with_or_without_its_name() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(Sha256Digest::try_new(&digits).unwrap().as_str(), digits);
        assert_eq!(Sha256Digest::try_new(&format!("sha256:{}", digits.to_uppercase())).unwrap().as_str(), digits);
        assert_eq!(Sha256Digest::from_bytes(&[0xab; 32]).as_str(), "ab".repeat(32));
    }

    #[test]
    fn nothing_else_is_a_digest() {
        for text in ["", "sha256:", "../../etc/passwd", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65), "sha512:00"] {
            assert!(Sha256Digest::try_new(text).is_err(), "`{text}` was accepted");
        }
        assert!(FileDigest::try_git_blob(&"a".repeat(40)).is_ok());
        assert!(FileDigest::try_git_blob(&"a".repeat(64)).is_err());
    }
}

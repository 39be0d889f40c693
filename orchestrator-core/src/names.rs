//! Names that people type, checked once: [`InstanceName`] and [`EnvKey`].

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Coded, ErrorCode};

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text breaks the rule for names.
    #[error("`{text}` is no valid {what}: {reason}")]
    Invalid {
        /// What the name is for.
        what: &'static str,
        /// The text, cut to a readable length and with control characters escaped.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
}

impl Coded for NameError {
    fn code(&self) -> ErrorCode {
        ErrorCode::ConfigInvalid
    }

    fn hint(&self) -> Option<String> {
        Some("use lowercase letters, digits and `-`, for example `qwen3-8b`".to_owned())
    }
}

const LONGEST_NAME: usize = 63;

/// Checks `^[a-z0-9][a-z0-9-]*[a-z0-9]$` (a single character is fine too), at most 63 bytes.
fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > LONGEST_NAME {
        "it is longer than 63 characters"
    } else if !text.bytes().all(|byte| allowed(byte) || byte == b'-') {
        "only lowercase letters, digits and `-` are allowed"
    } else if text.starts_with('-') || text.ends_with('-') {
        "it must start and end with a letter or digit"
    } else {
        return Ok(());
    };
    let text = text.chars().take(LONGEST_NAME).flat_map(char::escape_default).collect();
    Err(NameError::Invalid { what, text, reason })
}

macro_rules! name_type {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "minLength" = 1, "maxLength" = 63))]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and makes it a name.
            ///
            /// # Errors
            /// Fails when the text is empty, too long, or holds something besides lowercase letters, digits and inner `-`.
            pub fn try_new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($what, &text)?;
                Ok(Self(text))
            }

            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::try_new(text)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// The name of an instance: what people type, what the gateway routes by, what its folders are called.
    InstanceName, "instance name"
}

name_type! {
    /// The name of a recipe and of the environment built from it, such as `llama-cpp-cpu`.
    EnvKey, "environment key"
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn accepts_ordinary_names() {
        for text in ["a", "a1", "qwen3-8b", "0", &"x".repeat(63)] {
            assert_eq!(InstanceName::try_new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_what_could_leave_its_folder_or_confuse_a_reader() {
        for text in ["", "-a", "a-", "A", "a b", "a/b", "..", ".", "a\n", "é", "a_b", &"x".repeat(64)] {
            assert!(InstanceName::try_new(text).is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn an_error_shows_control_characters_escaped() {
        let error = EnvKey::try_new("a\u{1b}[31m").unwrap_err();
        assert!(error.to_string().contains("a\\u{1b}[31m"), "{error}");
    }
}

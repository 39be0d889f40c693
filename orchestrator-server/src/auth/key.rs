//! The API key for clients beyond loopback: 32 random bytes as hexadecimal text in a file only its owner can read.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use orchestrator_core::ErrorCode;
use orchestrator_core::error::Coded;
use subtle::ConstantTimeEq;

/// The shortest key that is taken from a file that a person wrote.
const SHORTEST: usize = 16;
const LONGEST: usize = 4096;

/// Why the key cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// The file cannot be read or written.
    #[error("could not {action} the API key `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The system gives no random numbers.
    #[error("could not make an API key")]
    Random {
        /// Why not.
        #[source]
        source: getrandom::Error,
    },
    /// The file holds something else.
    #[error("`{path}` holds no API key: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        reason: &'static str,
    },
}

impl Coded for ApiKeyError {
    fn code(&self) -> ErrorCode {
        ErrorCode::DaemonStartFailed
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => Some("check the permissions and the free space of the home directory".to_owned()),
            Self::Random { .. } => None,
            Self::Unusable { path, .. } => Some(format!("remove `{}`; a new key is made at the next start", path.display())),
        }
    }
}

/// The key. Shows itself to nobody.
pub(crate) struct ApiKey(Vec<u8>);

impl ApiKey {
    /// Reads the key, or makes one where there is none.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, ApiKeyError> {
        let io = |action| move |source| ApiKeyError::Io { action, path: path.to_path_buf(), source };
        match std::fs::read(path) {
            Ok(content) => {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io("protect"))?;
                Self::try_new(path, &content)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = generate()?;
                // Nobody else writes here: we own the home. The name appears only with its content.
                let temporary = path.with_extension(format!("new-{}", std::process::id()));
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&temporary)
                    .map_err(io("write"))?;
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write"))?;
                std::fs::rename(&temporary, path).map_err(io("publish"))?;
                Self::try_new(path, text.as_bytes())
            }
            Err(source) => Err(io("read")(source)),
        }
    }

    fn try_new(path: &Path, content: &[u8]) -> Result<Self, ApiKeyError> {
        let key = content.trim_ascii();
        let reason = if key.len() < SHORTEST {
            "it is shorter than 16 characters"
        } else if key.len() > LONGEST {
            "it is longer than 4096 characters"
        } else if !key.iter().all(u8::is_ascii_graphic) {
            "it holds characters that no header can carry"
        } else {
            return Ok(Self(key.to_vec()));
        };
        Err(ApiKeyError::Unusable { path: path.to_path_buf(), reason })
    }

    /// Compares in a time that tells nothing about the key.
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

fn generate() -> Result<String, ApiKeyError> {
    use std::fmt::Write as _;
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|source| ApiKeyError::Random { source })?;
    let mut text = String::with_capacity(65);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    Ok(text)
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("api-key");
        let first = ApiKey::load_or_create(&path).unwrap();
        let second = ApiKey::load_or_create(&path).unwrap();
        assert_eq!(first.0, second.0);
        assert_eq!(first.0.len(), 64);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "a temporary file was left");
        assert!(!format!("{first:?}").contains(std::str::from_utf8(&first.0).unwrap()));
    }

    #[test]
    fn two_homes_have_two_keys() {
        assert_ne!(generate().unwrap(), generate().unwrap());
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_and_its_content_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("api-key");
        for content in ["", "\n", "hunter2", "sixteen chars or more with blanks", &"x".repeat(5_000)] {
            std::fs::write(&path, content).unwrap();
            let error = ApiKey::load_or_create(&path).unwrap_err();
            assert!(content.trim().is_empty() || !error.to_string().contains(content.trim()), "{error}");
        }
    }
}

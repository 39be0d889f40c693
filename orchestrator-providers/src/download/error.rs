//! What can go wrong between us and a file at its source. Addresses in here are as [`super::shown`] shows them.

use std::path::PathBuf;
use std::time::Duration;

use orchestrator_core::model::ModelReference;
use orchestrator_core::provider::ProviderError;

use super::address::AddressRefusal;
use super::redirect::RedirectRefusal;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The client could not be made.
    #[error("an HTTP client could not be made: {reason}")]
    Client {
        /// What happened.
        reason: String,
    },
    /// There are no certificates of authorities on this machine, so nothing can be proven with https.
    #[error("`{url}` cannot be trusted: this machine has no certificates of authorities")]
    NoCertificates {
        /// The address.
        url: String,
    },
    /// The host cannot be reached.
    #[error("`{url}` cannot be reached: {reason}")]
    Offline {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to `{url}` broke: {reason}")]
    Interrupted {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The host is too slow, or silent.
    #[error("`{url}` brought {what} in {} s", after.as_secs_f32())]
    Stalled {
        /// The address.
        url: String,
        /// What did not come, such as "no answer".
        what: String,
        /// In which time.
        after: Duration,
    },
    /// The host wants to know who we are, or does not know us.
    #[error("`{url}` answered 401{}", said(message.as_deref()))]
    Unauthorized {
        /// The address.
        url: String,
        /// What it says.
        message: Option<String>,
    },
    /// The host does not give it to us.
    #[error("`{url}` answered 403{}", said(message.as_deref()))]
    Forbidden {
        /// The address.
        url: String,
        /// What it says.
        message: Option<String>,
    },
    /// The host wants us to wait.
    #[error("`{url}` answered {status}: it has too much to do")]
    RateLimited {
        /// The address.
        url: String,
        /// The status: 429 or 503.
        status: u16,
        /// For how long.
        retry_after: Option<Duration>,
    },
    /// The host answered with something else than a file.
    #[error("`{url}` answered {status}{}", said(message.as_deref()))]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// What it says.
        message: Option<String>,
    },
    /// The host sent us to where we do not go.
    #[error("the redirect from `{url}` to `{target}` is not followed: {reason}")]
    RedirectRefused {
        /// The address.
        url: String,
        /// Where it leads.
        target: String,
        /// Why it is not followed.
        reason: RedirectRefusal,
    },
    /// The address is not one that we go to.
    #[error("`{url}` is not asked: {reason}")]
    AddressRefused {
        /// The address.
        url: String,
        /// Why not.
        reason: AddressRefusal,
    },
    /// The file is longer or shorter than was promised.
    #[error("`{url}` has {found} bytes and not the {expected} that were promised")]
    LengthMismatch {
        /// The address.
        url: String,
        /// The bytes that were promised.
        expected: u64,
        /// The bytes that there are.
        found: u64,
    },
    /// The answer holds another part of the file than was asked for.
    #[error("`{url}` answered the range {asked} with {answer}")]
    RangeMismatch {
        /// The address.
        url: String,
        /// What was asked for.
        asked: String,
        /// What came.
        answer: String,
    },
    /// The body is packed or in several parts, so its bytes are not those of the file.
    #[error("`{url}` sends the file as `{encoding}`, which was not asked for")]
    Encoding {
        /// The address.
        url: String,
        /// How it is packed.
        encoding: String,
    },
    /// The file changed at its source while it was fetched.
    #[error("`{url}` changed while it was fetched: its tag was `{before}` and is `{now}`")]
    EtagChanged {
        /// The address.
        url: String,
        /// The tag at first.
        before: String,
        /// The tag now.
        now: String,
    },
    /// What came is not what was promised.
    #[error("`{file}` has the digest {found} and not {expected}")]
    DigestMismatch {
        /// The file.
        file: String,
        /// The digest that was promised.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// The answer is longer than anything that is expected there.
    #[error("`{url}` answers with more than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// How many are taken.
        limit: u64,
    },
    /// The file system has no room for it.
    #[error("there is no room for `{path}`: {needed} bytes are needed and {free} are free")]
    NoSpace {
        /// The file that was to be written.
        path: PathBuf,
        /// The bytes needed.
        needed: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// A file of ours could not be used.
    #[error("{action} `{path}` failed")]
    Io {
        /// What was tried, such as "writing".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Nobody wants it any more.
    #[error("the download was cancelled")]
    Cancelled,
}

/// Returns what a host said, as the end of a message.
fn said(message: Option<&str>) -> String {
    message.map_or_else(String::new, |message| format!(": {message}"))
}

impl DownloadError {
    /// Returns the status of the answer, where it is what was wrong.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unauthorized { .. } => Some(401),
            Self::Forbidden { .. } => Some(403),
            Self::RateLimited { status, .. } | Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Says it in a provider's words. `source` is the address of the source, as people know it.
    #[must_use]
    pub fn into_provider_error(self, reference: &ModelReference, source: &str) -> ProviderError {
        let reason = self.to_string();
        let reference = reference.clone();
        let failed = |hint: Option<&str>, retry_after| ProviderError::Source {
            source_name: source.to_owned(),
            reason: reason.clone(),
            hint: hint.map(str::to_owned),
            retry_after,
        };
        match self {
            Self::Unauthorized { .. } => ProviderError::AccessDenied {
                reference,
                reason,
                hint: "log in at the source and set its token (`HF_TOKEN` for Hugging Face); a token may have been revoked".to_owned(),
            },
            Self::Forbidden { .. } => ProviderError::AccessDenied {
                reference,
                reason,
                hint: "open its page, accept its conditions, and use a token that may read it".to_owned(),
            },
            Self::Status { status: 404 | 410, .. } => ProviderError::NotFound { reference, nearest: Vec::new() },
            Self::RateLimited { retry_after, .. } => failed(Some("wait, or set a token: who is known may ask more often"), retry_after),
            Self::Client { .. } => failed(None, None),
            Self::Status { .. } => failed(Some("try again later; if it stays like this, the source itself says no"), None),
            Self::NoCertificates { .. } => failed(Some("install the package `ca-certificates`, or set `SSL_CERT_FILE`"), None),
            Self::Offline { .. } => {
                failed(Some("check the network, the proxy variables (`HTTPS_PROXY`), and the address of the source"), None)
            }
            Self::Interrupted { .. } | Self::Stalled { .. } => {
                failed(Some("what was fetched is kept: the same command goes on where it ended"), None)
            }
            Self::RedirectRefused { .. } | Self::AddressRefused { .. } => {
                let hint = "the source leads to where models are not fetched from; if it is a mirror of yours, name its own address";
                ProviderError::Refused { reference, reason, hint: Some(hint.to_owned()) }
            }
            Self::EtagChanged { .. } => failed(Some("the same command fetches what is there now"), None),
            Self::RangeMismatch { .. } | Self::Encoding { .. } | Self::TooLarge { .. } => {
                failed(Some("something on the way (a proxy, a portal, a mirror) spoils the answers; try another network"), None)
            }
            Self::LengthMismatch { ref url, .. } => ProviderError::Corrupt { file: url.clone(), reason },
            Self::DigestMismatch { ref file, .. } => ProviderError::Corrupt { file: file.clone(), reason },
            Self::NoSpace { path, needed, free } => {
                let folder = path.parent().map(PathBuf::from).unwrap_or_default();
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                ProviderError::NoSpace { file, folder, needed, free }
            }
            Self::Io { action, path, source } => ProviderError::Store { action, path, source },
            Self::Cancelled => ProviderError::Cancelled { reference },
        }
    }
}

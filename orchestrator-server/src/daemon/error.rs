//! Why a daemon could not be started.

use std::net::SocketAddr;
use std::path::PathBuf;

use orchestrator_core::ErrorCode;
use orchestrator_core::error::Coded;

use crate::auth::ApiKeyError;

/// Why a daemon could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// Somebody else has the configured port.
    #[error("the port of `{address}` is taken{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    PortTaken {
        /// The address.
        address: SocketAddr,
        /// Who has it, where that can be told.
        holder: Option<String>,
    },
    /// The address cannot be listened on.
    #[error("could not listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of the daemon cannot be made.
    #[error("could not {action} `{path}`")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The system would not tell or do something.
    #[error("could not {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no API key, and one is needed.
    #[error(transparent)]
    Key(#[from] ApiKeyError),
}

impl Coded for DaemonError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::PortTaken { .. } => ErrorCode::PortTaken,
            Self::Listen { .. } | Self::System { .. } => ErrorCode::DaemonStartFailed,
            Self::File { .. } => ErrorCode::HomeUnusable,
            Self::Key(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::PortTaken { .. } => {
                Some("end it, or set another `gateway.port` in `config.yaml`; without one, a free port is used".to_owned())
            }
            Self::Listen { .. } => Some("check `gateway.host` and `gateway.port` in `config.yaml`".to_owned()),
            Self::File { .. } => Some("check the permissions and the free space of the home directory".to_owned()),
            Self::System { .. } => None,
            Self::Key(error) => error.hint(),
        }
    }
}

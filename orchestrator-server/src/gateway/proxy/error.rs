//! Why an engine gave no answer, and what a client is told of it.

use std::net::SocketAddr;
use std::time::Duration;

use orchestrator_core::error::{Coded, causes_of};
use orchestrator_core::{ErrorCode, InstanceName, Problem};

/// What a client is told when an engine is away and nobody knows for how long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why an engine gave no answer. Nothing of one has been passed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::gateway) enum ForwardError {
    /// It did not take the connection: the request never reached it.
    #[error("`{instance}` takes no connection at {address}")]
    Connect {
        /// The instance.
        instance: InstanceName,
        /// Where it should listen.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It broke the connection, or the protocol, before its answer was whole.
    #[error("`{instance}` broke off before it had answered")]
    Broken {
        /// The instance.
        instance: InstanceName,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It did not answer in time.
    #[error("`{instance}` did not answer within {after:?}")]
    TimedOut {
        /// The instance.
        instance: InstanceName,
        /// How long was waited.
        after: Duration,
    },
    /// Our own request cannot be written.
    #[error("the request to `{instance}` cannot be written")]
    Request {
        /// The instance.
        instance: InstanceName,
        /// Why not.
        #[source]
        source: http::Error,
    },
}

impl Coded for ForwardError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Connect { .. } => ErrorCode::InstanceUnavailable,
            Self::Broken { .. } => ErrorCode::UpstreamFailed,
            Self::TimedOut { .. } => ErrorCode::UpstreamTimeout,
            Self::Request { .. } => ErrorCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { instance, .. } | Self::Broken { instance, .. } => {
                Some(format!("`orch describe {instance}` shows what happened, `orch logs {instance}` what it said"))
            }
            Self::TimedOut { .. } => Some("ask for less, or raise `limits.first_byte` in the daemon's `config.yaml`".to_owned()),
            Self::Request { .. } => None,
        }
    }
}

impl ForwardError {
    pub(super) fn may_repeat(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Broken { .. })
    }

    /// Says in a few words what the engine did, with what is behind it.
    pub(super) fn cause(&self) -> String {
        let what = match self {
            Self::Connect { .. } => "it takes no connection".to_owned(),
            Self::Broken { .. } => "it broke off before it had answered".to_owned(),
            Self::TimedOut { after, .. } => format!("it did not answer within {after:?}"),
            Self::Request { .. } => "the request cannot be written".to_owned(),
        };
        std::iter::once(what).chain(causes_of(self)).collect::<Vec<_>>().join(": ")
    }

    pub(super) fn into_problem(self) -> Problem {
        let problem = Problem::from_error(&self);
        if matches!(self, Self::Connect { .. }) { problem.with_retry_after(RETRY_AFTER) } else { problem }
    }
}

//! Reading a request's body: never more than the limit, never slower than a living client sends.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use http_body_util::BodyExt;
use orchestrator_core::error::Coded;
use orchestrator_core::{ErrorCode, Problem};
use tokio::time::Instant;

/// How often the progress of a body is looked at.
const WINDOW: Duration = Duration::from_secs(10);
/// How much of a body must come in each window.
const LEAST_PER_WINDOW: usize = 16 * 1024;
/// What is set aside at first for a body of a known length.
const LARGEST_RESERVE: usize = 1024 * 1024;
/// For how long, and how much, the rest of a refused body is thrown away so that its sender reads our answer.
const DRAIN_FOR: Duration = Duration::from_secs(5);
const DRAIN_AT_MOST: usize = 1024 * 1024 * 1024;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IntakeError {
    /// It is larger than the limit.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It comes too slowly.
    #[error("the request's body came too slowly: {received} bytes in all, and fewer than {LEAST_PER_WINDOW} in the last {}s", WINDOW.as_secs())]
    TooSlow {
        /// What had come.
        received: usize,
    },
    /// The client went away or broke the protocol.
    #[error("the request's body broke off")]
    Broken {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Coded for IntakeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::RequestTooLarge,
            Self::TooSlow { .. } | Self::Broken { .. } => ErrorCode::RequestInvalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooLarge { .. } => Some("send less, or raise `limits.max_body_mb` in the daemon's `config.yaml`".to_owned()),
            Self::TooSlow { .. } | Self::Broken { .. } => None,
        }
    }
}

impl IntakeError {
    /// Describes the failure for the client.
    pub(crate) fn into_problem(self) -> Problem {
        let mut problem = Problem::from_error(&self);
        if matches!(self, Self::TooSlow { .. }) {
            problem.status = http::StatusCode::REQUEST_TIMEOUT.as_u16();
        }
        problem
    }
}

/// Reads a whole body of at most `limit` bytes. One that says beforehand that it is larger is not read at all.
pub(crate) async fn read<B>(headers: &HeaderMap, body: &mut B, limit: usize) -> Result<Bytes, IntakeError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(IntakeError::TooLarge { limit });
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut received = 0;
    let mut window = Window { until: Instant::now() + WINDOW, received: 0 };
    loop {
        let frame = match tokio::time::timeout_at(window.until, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(source))) => return Err(IntakeError::Broken { source: source.into() }),
            Err(_) if window.received < LEAST_PER_WINDOW => return Err(IntakeError::TooSlow { received }),
            Err(_) => {
                window = Window { until: Instant::now() + WINDOW, received: 0 };
                continue;
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        received += data.len();
        window.received += data.len();
        if received > limit {
            return Err(IntakeError::TooLarge { limit });
        }
        // The usual body comes in one piece and is taken as it is.
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(announced.unwrap_or(0).clamp(received, LARGEST_RESERVE.max(received)));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

struct Window {
    until: Instant,
    received: usize,
}

/// Throws away what still comes of a refused body. A client that sends without looking would otherwise see its
/// connection reset and not our answer.
pub(crate) async fn drain<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let work = async {
        let mut left = DRAIN_AT_MOST;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(size);
            if left == 0 {
                break;
            }
        }
    };
    // Too slow is as good as done: the connection is closed then.
    let _ = tokio::time::timeout(DRAIN_FOR, work).await;
}

#[cfg(test)]
mod tests;

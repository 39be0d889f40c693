//! What can go wrong on a connection.

/// Why a request got no answer, or not the whole of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WireError {
    /// The request could not be sent.
    #[error("the request could not be sent")]
    Write(#[source] std::io::Error),
    /// The answer could not be read.
    #[error("the connection broke")]
    Read(#[source] std::io::Error),
    /// The connection was closed before there was an answer.
    #[error("the connection was closed before there was an answer")]
    Closed,
    /// The connection was closed before the end of the answer.
    #[error("the connection was closed before the end of the answer")]
    CutOff,
    /// The head of the answer does not end.
    #[error("the head of the answer is too long")]
    HeadTooLong,
    /// The head of the answer is no HTTP.
    #[error("the head of the answer is no HTTP/1.1: {detail}")]
    Head {
        /// What is wrong with it.
        detail: String,
    },
    /// A chunk of the answer does not begin or end as it should.
    #[error("the chunks of the answer are broken: {detail}")]
    Chunk {
        /// What is wrong with them.
        detail: &'static str,
    },
}

impl WireError {
    /// Returns whether what came was not HTTP.
    pub(crate) fn is_protocol(&self) -> bool {
        matches!(self, Self::HeadTooLong | Self::Head { .. } | Self::Chunk { .. })
    }
}

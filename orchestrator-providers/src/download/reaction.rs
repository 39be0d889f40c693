//! What is done about an error. Pure.

use std::time::Duration;

use super::error::DownloadError;

/// What went wrong, and who said it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: DownloadError,
    /// Whether the answer is that of another host than the one we asked: an address there is only good for a while.
    pub(super) away: bool,
}

/// What is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Tries again after a while, beginning with the address that we were given first.
    Retry {
        /// For how long the host wants us to wait.
        wish: Option<Duration>,
        /// Whether fewer connections are in order.
        ease: bool,
    },
    /// Tries again a few times only: the host does not do what HTTP says.
    Lie,
    /// The file is another one now: begins anew, unless a certain content was promised.
    Changed,
    /// Gives up.
    GiveUp,
}

/// Says what is done about a failure.
pub(super) fn reaction(failure: &Failure) -> Reaction {
    use DownloadError as Error;
    let retry = |ease| Reaction::Retry { wish: None, ease };
    match &failure.error {
        Error::RateLimited { retry_after, .. } => Reaction::Retry { wish: *retry_after, ease: true },
        Error::Stalled { .. } => retry(true),
        Error::Offline { .. } | Error::Interrupted { .. } | Error::Status { status: 408 | 425 | 500.., .. } => retry(false),
        // A signed address that is too old.
        Error::Unauthorized { .. } | Error::Forbidden { .. } | Error::Status { status: 400 | 404 | 410, .. } if failure.away => {
            retry(false)
        }
        Error::RangeMismatch { .. } => Reaction::Lie,
        Error::EtagChanged { .. } => Reaction::Changed,
        Error::Client { .. }
        | Error::NoCertificates { .. }
        | Error::Unauthorized { .. }
        | Error::Forbidden { .. }
        | Error::Status { .. }
        | Error::RedirectRefused { .. }
        | Error::AddressRefused { .. }
        | Error::LengthMismatch { .. }
        | Error::Encoding { .. }
        | Error::DigestMismatch { .. }
        | Error::TooLarge { .. }
        | Error::NoSpace { .. }
        | Error::Io { .. }
        | Error::Cancelled => Reaction::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reacts(error: DownloadError, away: bool) -> Reaction {
        reaction(&Failure { error, away })
    }

    #[test]
    fn a_refusal_is_final_at_the_source_and_not_at_its_storage() {
        let forbidden = || DownloadError::Forbidden { url: String::new(), message: None };
        assert_eq!(reacts(forbidden(), false), Reaction::GiveUp);
        assert_eq!(reacts(forbidden(), true), Reaction::Retry { wish: None, ease: false });
        let missing = |status| DownloadError::Status { url: String::new(), status, message: None };
        assert_eq!(reacts(missing(404), false), Reaction::GiveUp);
        assert_eq!(reacts(missing(404), true), Reaction::Retry { wish: None, ease: false });
        assert_eq!(reacts(missing(502), false), Reaction::Retry { wish: None, ease: false });
    }

    #[test]
    fn a_busy_source_gets_fewer_connections_and_the_time_it_asks_for() {
        let wish = Some(Duration::from_secs(3));
        let busy = DownloadError::RateLimited { url: String::new(), status: 429, retry_after: wish };
        assert_eq!(reacts(busy, true), Reaction::Retry { wish, ease: true });
    }
}

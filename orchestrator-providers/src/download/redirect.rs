//! Which redirects are followed, and where we still say who we are. Pure.

use reqwest::Url;

use super::address::{AddressPolicy, AddressRefusal};
use super::request::shown;

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectRefusal {
    /// It does not say where to.
    #[error("it does not say where to")]
    NoTarget,
    /// It says where to, in a way nobody understands.
    #[error("its target is no address")]
    NotAnAddress,
    /// It leads to where nothing is fetched from.
    #[error("its target is refused: {0}")]
    Address(AddressRefusal),
    /// It leads away from encryption.
    #[error("it leads from https to http")]
    Downgrade,
    /// It brings a name and a password of its own.
    #[error("its target carries a name or a password")]
    Credentials,
    /// We were there before.
    #[error("it leads in a circle")]
    Circle,
    /// There were too many.
    #[error("it is one of more than {limit} in a row")]
    TooMany {
        /// How many are followed.
        limit: usize,
    },
}

/// The way of one request from host to host.
#[derive(Debug, Clone)]
pub(super) struct Itinerary {
    /// Every address that was asked; the last one is asked now.
    stops: Vec<Url>,
    /// Whether every stop was at the first one's origin.
    at_home: bool,
}

impl Itinerary {
    pub(super) fn new(start: Url) -> Self {
        Self { stops: vec![start], at_home: true }
    }

    /// Returns whether we say who we are: only at the origin that it was meant for, and not after we left it.
    pub(super) fn is_at_home(&self) -> bool {
        self.at_home
    }

    /// Goes on to the target of a redirect.
    pub(super) fn follow(&mut self, target: Option<&str>, policy: &AddressPolicy, limit: usize) -> Result<&Url, RedirectRefusal> {
        let here = &self.stops[self.stops.len() - 1];
        let mut next = here.join(target.ok_or(RedirectRefusal::NoTarget)?).map_err(|_| RedirectRefusal::NotAnAddress)?;
        next.set_fragment(None);
        policy.check(&next).map_err(RedirectRefusal::Address)?;
        if here.scheme() == "https" && next.scheme() != "https" {
            return Err(RedirectRefusal::Downgrade);
        }
        if !next.username().is_empty() || next.password().is_some() {
            return Err(RedirectRefusal::Credentials);
        }
        if self.stops.contains(&next) {
            return Err(RedirectRefusal::Circle);
        }
        if self.stops.len() > limit {
            return Err(RedirectRefusal::TooMany { limit });
        }
        self.at_home = self.at_home && next.origin() == self.stops[0].origin();
        self.stops.push(next);
        Ok(&self.stops[self.stops.len() - 1])
    }
}

/// Returns the target of a redirect as it may be shown.
pub(super) fn shown_target(base: &Url, target: Option<&str>) -> String {
    target.and_then(|target| base.join(target).ok()).map_or_else(|| "nowhere".to_owned(), |url| shown(&url))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const LIMIT: usize = 10;

    fn way(start: &str) -> (Itinerary, AddressPolicy) {
        let start = Url::parse(start).unwrap();
        let policy = AddressPolicy::for_endpoints([&start]);
        (Itinerary::new(start), policy)
    }

    fn refusal(start: &str, target: &str) -> RedirectRefusal {
        let (mut way, policy) = way(start);
        way.follow(Some(target), &policy, LIMIT).unwrap_err()
    }

    #[test]
    fn a_token_stays_at_its_origin_and_is_not_sent_after_a_way_back() {
        let (mut way, policy) = way("https://hub.example/a");
        assert!(way.is_at_home());
        assert_eq!(way.follow(Some("/api/b"), &policy, LIMIT).unwrap().as_str(), "https://hub.example/api/b");
        assert!(way.is_at_home());
        way.follow(Some("https://cdn.example/c?signature=1"), &policy, LIMIT).unwrap();
        assert!(!way.is_at_home());
        way.follow(Some("https://hub.example/d"), &policy, LIMIT).unwrap();
        assert!(!way.is_at_home(), "the way back was chosen by a stranger");
    }

    #[test]
    fn another_port_scheme_or_name_is_another_origin() {
        for target in ["https://hub.example:8443/", "https://www.hub.example/", "https://hub.example.evil.example/", "//evil.example/"] {
            let (mut way, policy) = way("https://hub.example/a");
            way.follow(Some(target), &policy, LIMIT).unwrap();
            assert!(!way.is_at_home(), "{target}");
        }
        let (mut way, policy) = way("http://hub.example/a");
        way.follow(Some("https://hub.example/a"), &policy, LIMIT).unwrap();
        assert!(!way.is_at_home());
    }

    #[test]
    fn what_leads_astray_is_refused() {
        assert_eq!(refusal("https://hub.example/", "http://hub.example/x"), RedirectRefusal::Downgrade);
        assert_eq!(refusal("https://hub.example/", "https://me:pw@hub.example/x"), RedirectRefusal::Credentials);
        assert_eq!(refusal("https://hub.example/a", "https://hub.example/a"), RedirectRefusal::Circle);
        assert_eq!(refusal("https://hub.example/a", "/a#other"), RedirectRefusal::Circle);
        for target in ["file:///etc/passwd", "http://169.254.169.254/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "gopher://a/"] {
            assert!(matches!(refusal("https://hub.example/", target), RedirectRefusal::Address(_)), "{target}");
        }
        assert_eq!(refusal("https://hub.example/", "https://[broken"), RedirectRefusal::NotAnAddress);
        let (mut way, policy) = way("https://hub.example/");
        assert_eq!(way.follow(None, &policy, LIMIT).unwrap_err(), RedirectRefusal::NoTarget);
    }

    #[test]
    fn the_way_has_an_end() {
        let (mut way, policy) = way("https://hub.example/0");
        for stop in 1..=LIMIT {
            way.follow(Some(&format!("/{stop}")), &policy, LIMIT).unwrap();
        }
        assert_eq!(way.follow(Some("/last"), &policy, LIMIT).unwrap_err(), RedirectRefusal::TooMany { limit: LIMIT });
    }
}

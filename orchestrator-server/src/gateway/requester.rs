//! Who sends a request, as far as taking turns is concerned: the holder of a key, and how urgent it is.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use orchestrator_core::orchestrator::Requester;
use orchestrator_core::scheduler::policy::ClientId;
use orchestrator_core::{ErrorCode, Problem};

/// In a request: its priority, from -100 to 100. Without it, 0.
pub(super) const PRIORITY: HeaderName = HeaderName::from_static("x-orchestrator-priority");
/// In a request: tells clients apart that share a key, or have none.
pub(super) const CLIENT: HeaderName = HeaderName::from_static("x-orchestrator-client");

const LARGEST_PRIORITY: i32 = 100;

/// Keyed anew in each process, so that nobody can make two clients look like one. Nothing of a key can be read from it.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Reads who sends a request. Requests without a key and a name come from one client.
pub(super) fn of(headers: &HeaderMap) -> Result<Requester, Problem> {
    let key = headers.get(AUTHORIZATION).or_else(|| headers.get("x-api-key"));
    let client = match (key, headers.get(CLIENT)) {
        (None, None) => ClientId::default(),
        named => ClientId(HASHER.hash_one(named)),
    };
    let priority = match headers.get(PRIORITY) {
        None => 0,
        Some(text) => {
            let number = text.to_str().ok().and_then(|text| text.trim().parse::<i32>().ok());
            number.filter(|number| number.abs() <= LARGEST_PRIORITY).ok_or_else(|| {
                let problem = Problem::new(ErrorCode::RequestInvalid, format!("the header `{PRIORITY}` is no priority"));
                problem.with_hint(format!("write a whole number from -{LARGEST_PRIORITY} to {LARGEST_PRIORITY}, or leave it out"))
            })?
        }
    };
    Ok(Requester { client, priority })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn requester(headers: &[(&'static str, &'static str)]) -> Result<Requester, Problem> {
        of(&headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect())
    }

    #[test]
    fn keys_and_names_tell_clients_apart() {
        let client = |headers: &[(&'static str, &'static str)]| requester(headers).unwrap().client;
        assert_eq!(client(&[]), client(&[("accept", "*/*")]));
        assert_eq!(client(&[("authorization", "Bearer a")]), client(&[("authorization", "Bearer a")]));
        assert_ne!(client(&[("authorization", "Bearer a")]), client(&[("authorization", "Bearer b")]));
        assert_ne!(client(&[("x-orchestrator-client", "a")]), client(&[("x-orchestrator-client", "b")]));
    }

    #[test]
    fn priorities_are_numbers_within_bounds() {
        assert_eq!(requester(&[("x-orchestrator-priority", "-7")]).unwrap().priority, -7);
        for wrong in ["high", "101", "", "1.5"] {
            assert!(requester(&[("x-orchestrator-priority", wrong)]).is_err(), "{wrong}");
        }
    }
}

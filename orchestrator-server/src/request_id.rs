//! A request's id: the client's own, or one that nobody else has. It goes to the engine, comes back with the answer,
//! and stands in every line of the log that is about the request.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The header that carries it, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const LONGEST: usize = 128;

/// Gives each request an id.
pub(crate) struct RequestIds {
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// Tells the ids of one run of the daemon from those of another.
    pub(crate) fn new() -> Self {
        let prefix = getrandom::u32().unwrap_or_else(|_| std::process::id());
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// Sees to it that a request carries one id, and returns it.
    pub(crate) fn give(&self, headers: &mut HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(REQUEST_ID).iter();
        if let (Some(id), None) = (given.next(), given.next())
            && is_usable(id)
        {
            return id.clone();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = HeaderValue::try_from(format!("{:08x}-{number}", self.prefix)).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        headers.insert(REQUEST_ID, id.clone());
        id
    }
}

fn is_usable(id: &HeaderValue) -> bool {
    !id.is_empty() && id.len() <= LONGEST && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Returns an id as it stands in the log.
pub(crate) fn shown(id: Option<&HeaderValue>) -> &str {
    id.and_then(|id| id.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[&'static str]) -> (HeaderValue, HeaderMap) {
        let mut headers: HeaderMap = values.iter().map(|value| (REQUEST_ID, HeaderValue::from_static(value))).collect();
        (RequestIds::new().give(&mut headers), headers)
    }

    #[test]
    fn a_usable_id_is_kept() {
        let (id, headers) = given(&["trace-1/a"]);
        assert_eq!((id.to_str().ok(), headers.get(REQUEST_ID)), (Some("trace-1/a"), Some(&id)));
    }

    #[test]
    fn what_is_no_id_is_replaced_in_what_the_engine_gets_too() {
        for values in [&[][..], &[""], &["a b"], &["one", "two"]] {
            let (id, headers) = given(values);
            assert_eq!(headers.get_all(REQUEST_ID).iter().collect::<Vec<_>>(), [&id], "{values:?}");
            assert!(id.to_str().is_ok_and(|text| text.ends_with("-1") && text.len() > 8));
        }
        let long = HeaderValue::from_bytes(&[b'x'; 129]);
        let mut headers: HeaderMap = long.into_iter().map(|value| (REQUEST_ID, value)).collect();
        assert!(RequestIds::new().give(&mut headers).len() < 129);
    }

    #[test]
    fn no_two_requests_get_the_same() {
        let ids = RequestIds::new();
        let given: std::collections::HashSet<_> = (0..1_000).map(|_| ids.give(&mut HeaderMap::new())).collect();
        assert_eq!(given.len(), 1_000);
    }
}

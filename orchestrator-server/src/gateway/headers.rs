//! Which headers pass the gateway, in either direction.

use http::header::{self, HeaderMap, HeaderName};

/// Headers that belong to one connection (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// Headers of a request that end here: secrets of the client, what describes its way to us, and what we write anew.
/// Without `accept-encoding` engines answer in plain, so that an error event can follow.
const REQUEST_ENDS_HERE: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::ORIGIN,
    header::REFERER,
    header::ACCEPT_ENCODING,
];

/// Removes what is not for the engine.
pub(super) fn for_engine(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    for name in &REQUEST_ENDS_HERE {
        headers.remove(name);
    }
    headers.remove("x-api-key");
    headers.remove("x-orchestrator-tools");
    headers.remove(super::requester::PRIORITY);
    headers.remove(super::requester::CLIENT);
}

/// Removes what is not for the client: who may read an answer is decided here and not by the engine.
pub(super) fn for_client(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    for name in [header::CONTENT_LENGTH, header::SERVER, header::SET_COOKIE] {
        headers.remove(name);
    }
    let decided_here: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in decided_here {
        headers.remove(name);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn secrets_and_what_belongs_to_the_connection_stay_here() {
        let mut request = headers(&[
            ("authorization", "Bearer sk-secret"),
            ("x-api-key", "sk-secret"),
            ("cookie", "a=b"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "9"),
            ("host", "localhost"),
            ("accept-encoding", "gzip"),
            ("content-type", "application/json"),
            ("x-request-id", "7"),
        ]);
        for_engine(&mut request);
        let mut left: Vec<_> = request.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "x-request-id"]);
    }

    #[test]
    fn an_engine_cannot_open_us_to_other_origins() {
        let mut answer = headers(&[
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("set-cookie", "a=b"),
            ("server", "llama.cpp"),
            ("content-type", "text/event-stream"),
        ]);
        for_client(&mut answer);
        assert_eq!(answer.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["content-type"]);
    }
}

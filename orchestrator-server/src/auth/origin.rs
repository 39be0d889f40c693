//! Comparing hosts and origins: what a client calls us, and where a page says it comes from.

use std::net::{IpAddr, SocketAddr};

use http::uri::Authority;

/// Splits `host[:port]`; `None` for what is neither a name nor an address.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    if text.contains('@') {
        return None;
    }
    let authority: Authority = text.parse().ok()?;
    // The parser of http takes `host:` and large ports; a port that is there must be one.
    let host_length = authority.host().len();
    let rest = text.get(host_length..)?;
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((&text[..host_length], None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((&text[..host_length], Some(digits.parse().ok()?)))
        }
        None | Some(_) => None,
    }
}

/// Says whether a `Host` in lower case is a name of ours: `localhost`, a loopback address, the address the
/// connection came in on, or a configured name; without a port, or with ours or the configured one.
///
/// Addresses cannot be rebound as names can, so the one the client really reached is safe to accept.
pub(super) fn is_own_host(text: &str, port: u16, local: SocketAddr, configured: &[String]) -> bool {
    let Some((host, given_port)) = split(text) else { return false };
    if configured.iter().any(|allowed| allowed == text) {
        return true;
    }
    if given_port.is_some_and(|given| given != port) {
        return false;
    }
    if configured.iter().any(|allowed| allowed == host) || host == "localhost" {
        return true;
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok_and(|address| {
        let is_loopback = matches!(address.to_string().as_str(), "127.0.0.1" | "::1");
        is_loopback || address.to_canonical() == local.ip().to_canonical()
    })
}

/// Says whether an `Origin` in lower case is the origin of pages loaded from `host`.
pub(super) fn is_same(origin: &str, host: &str) -> bool {
    let (authority, default_port) = if let Some(rest) = origin.strip_prefix("http://") {
        (rest, 80)
    } else if let Some(rest) = origin.strip_prefix("https://") {
        (rest, 443)
    } else {
        return false;
    };
    match (split(authority), split(host)) {
        (Some((origin_host, origin_port)), Some((own_host, own_port))) => {
            origin_host == own_host && origin_port.unwrap_or(default_port) == own_port.unwrap_or(default_port)
        }
        _ => false,
    }
}

//! Who may ask for what over TCP: the `Host` allow-list against DNS rebinding, `Origin` and `Sec-Fetch-Site` against
//! requests forged by web pages, JSON as the only type of a body, and the API key beyond loopback.
//!
//! Pure: takes the head of a request and says yes or no. The Unix socket is not asked; its folder is private.

mod key;
mod origin;

use std::net::SocketAddr;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use orchestrator_core::config::daemon::GatewayConfig;
use orchestrator_core::error::Coded;
use orchestrator_core::{ErrorCode, Problem};

pub use key::ApiKeyError;

pub(crate) use key::ApiKey;

/// Why a request is not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refusal {
    /// Its `Host` is missing, doubled, unreadable, or not one of ours.
    #[error("the request's `Host` is {detail}")]
    Host {
        /// What is wrong with it.
        detail: String,
    },
    /// It comes from a page of another origin.
    #[error("the request comes from the origin {origin}, which is not allowed")]
    Origin {
        /// The origin.
        origin: String,
    },
    /// The browser says that another site made it.
    #[error("the request was made by another site (`Sec-Fetch-Site: {site}`)")]
    CrossSite {
        /// The browser's word for it.
        site: String,
    },
    /// It asks for leave to send a request from another origin.
    #[error("`OPTIONS` is answered for allowed origins only")]
    Preflight,
    /// Its body is not JSON.
    #[error("the request's body has {}", found.as_ref().map_or_else(|| "no `Content-Type`".to_owned(), |found| format!("the `Content-Type` {found}")))]
    ContentType {
        /// The type it says.
        found: Option<String>,
        /// Whether a browser sent it: then it may be a form of another site.
        from_browser: bool,
    },
    /// It has no valid key.
    #[error("the request carries {}", if *is_missing { "no API key" } else { "a wrong API key" })]
    Key {
        /// Whether it carries none.
        is_missing: bool,
    },
}

impl Coded for Refusal {
    fn code(&self) -> ErrorCode {
        match self {
            Self::ContentType { from_browser: false, .. } => ErrorCode::RequestInvalid,
            Self::Host { .. }
            | Self::Origin { .. }
            | Self::CrossSite { .. }
            | Self::Preflight
            | Self::ContentType { .. }
            | Self::Key { .. } => ErrorCode::Forbidden,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Host { .. } => "use the daemon's own address, or add the name to `gateway.allowed_hosts` in `config.yaml`".to_owned(),
            Self::Origin { .. } | Self::CrossSite { .. } | Self::Preflight => {
                "add the origin of the page to `gateway.allowed_origins` in `config.yaml`".to_owned()
            }
            Self::ContentType { .. } => "send JSON, with `Content-Type: application/json`".to_owned(),
            Self::Key { .. } => "send `Authorization: Bearer KEY`, with the key in `state/api-key` of the daemon's home".to_owned(),
        })
    }
}

impl Refusal {
    /// Describes the refusal for the client.
    pub(crate) fn into_problem(self) -> Problem {
        let mut problem = Problem::from_error(&self);
        match self {
            Self::Key { .. } => problem.status = StatusCode::UNAUTHORIZED.as_u16(),
            Self::ContentType { from_browser: false, .. } => problem.status = StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16(),
            _ => {}
        }
        problem
    }
}

/// What a request that is let in gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is answered; a page of this other origin may read the answer.
    Request {
        /// The other origin, where there is one.
        origin: Option<HeaderValue>,
    },
    /// It asks for leave, and gets it.
    Preflight {
        /// The origin that may send requests.
        origin: HeaderValue,
    },
}

/// The rules of one daemon.
#[derive(Debug)]
pub(crate) struct Guard {
    port: u16,
    hosts: Vec<String>,
    origins: Vec<String>,
    key: Option<ApiKey>,
}

impl Guard {
    /// Makes the rules for a daemon that listens on `port`, with the key where one is demanded.
    pub(crate) fn new(config: &GatewayConfig, port: u16, key: Option<ApiKey>) -> Self {
        let lower = |list: &[String]| list.iter().map(|text| text.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { port, hosts: lower(&config.allowed_hosts), origins: lower(&config.allowed_origins), key }
    }

    /// Says whether a request that came in on `local` is let in.
    pub(crate) fn check(&self, head: &Parts, local: SocketAddr) -> Result<Admitted, Refusal> {
        let host = self.check_host(head, local)?;
        let other_origin = self.check_origin(&head.headers, &host)?;
        if head.method == Method::OPTIONS {
            let own = || head.headers.get(header::ORIGIN).cloned();
            return other_origin.or_else(own).map(|origin| Admitted::Preflight { origin }).ok_or(Refusal::Preflight);
        }
        if other_origin.is_none() {
            check_fetch_site(head)?;
        }
        self.check_key(&head.headers)?;
        check_content_type(head)?;
        Ok(Admitted::Request { origin: other_origin })
    }

    /// Returns the host as the client wrote it, in lower case.
    fn check_host(&self, head: &Parts, local: SocketAddr) -> Result<String, Refusal> {
        let refuse = |detail: String| Err(Refusal::Host { detail });
        let mut values = head.headers.get_all(header::HOST).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return refuse(if head.headers.contains_key(header::HOST) { "given twice".to_owned() } else { "missing".to_owned() });
        };
        let Some(host) = value.to_str().ok().map(str::to_ascii_lowercase) else {
            return refuse("not text".to_owned());
        };
        // A proxy's form of request names the host in its target too.
        let target = head.uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
        for host in target.iter().chain([&host]) {
            if !origin::is_own_host(host, self.port, local, &self.hosts) {
                return refuse(format!("`{}`, which is none of this daemon's names", shown(host)));
            }
        }
        Ok(host)
    }

    /// Returns the origin of the page that made the request, where it is another one and allowed.
    fn check_origin(&self, headers: &HeaderMap, host: &str) -> Result<Option<HeaderValue>, Refusal> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let refuse = || Err(Refusal::Origin { origin: format!("`{}`", shown(&text)) });
        if values.next().is_some() {
            return refuse();
        }
        if self.origins.contains(&text) {
            return Ok(Some(value.clone()));
        }
        // The host was checked before: a page that was loaded from it is ours.
        if origin::is_same(&text, host) { Ok(None) } else { refuse() }
    }

    fn check_key(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(key) = &self.key else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        match given.and_then(bearer) {
            Some(given) if key.matches(given) => Ok(()),
            Some(_) => Err(Refusal::Key { is_missing: false }),
            None => Err(Refusal::Key { is_missing: true }),
        }
    }
}

/// Returns the token of an `Authorization: Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Other sites may link to our pages; they may neither read nor change what lies behind them.
fn check_fetch_site(head: &Parts) -> Result<(), Refusal> {
    let is_guarded = |path: &str| {
        ["/api", "/v1"].iter().any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    if !changes_state(&head.method) && !is_guarded(head.uri.path()) {
        return Ok(());
    }
    for value in head.headers.get_all("sec-fetch-site") {
        if !matches!(value.as_bytes(), b"same-origin" | b"none") {
            return Err(Refusal::CrossSite { site: shown(&String::from_utf8_lossy(value.as_bytes())) });
        }
    }
    Ok(())
}

fn changes_state(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// A body must be JSON, and so must be whatever a request without a body says it would be.
fn check_content_type(head: &Parts) -> Result<(), Refusal> {
    if !changes_state(&head.method) {
        return Ok(());
    }
    let from_browser = comes_from_browser(&head.headers);
    let mut values = head.headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else {
        return if has_body(&head.headers) { Err(Refusal::ContentType { found: None, from_browser }) } else { Ok(()) };
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") && values.next().is_none() {
        return Ok(());
    }
    Err(Refusal::ContentType { found: Some(format!("`{}`", shown(&text))), from_browser })
}

/// Browsers say so with every request that could change something.
fn comes_from_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

/// Cuts what a stranger wrote to a readable length and escapes its control characters.
fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

/// Adds what lets a page of an allowed origin read an answer. Never a wildcard.
pub(crate) fn allow_reading(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// Adds what lets a page of an allowed origin send requests.
pub(crate) fn allow_sending(headers: &mut HeaderMap, origin: HeaderValue) {
    allow_reading(headers, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    let allowed = HeaderValue::from_static("authorization, content-type, last-event-id, x-request-id");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

#[cfg(test)]
mod tests;

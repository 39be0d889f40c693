//! What is asked of a host: where, and what is said to it.

use std::fmt;

use reqwest::Url;

use orchestrator_core::model::FileDigest;

/// Something that is never shown: the value of an `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes the value for a token.
    #[must_use]
    pub fn bearer(token: &str) -> Self {
        Self(format!("Bearer {token}"))
    }

    /// Returns the value, to be sent.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where something is, and what is said to the host that it is at.
#[derive(Clone)]
pub struct RemoteRequest {
    /// The address.
    pub url: Url,
    /// Who we are there. Goes to that origin (scheme, host, port) only, and not any more once we were sent elsewhere.
    pub authorization: Option<Secret>,
    /// The `Accept` header, where one is needed.
    pub accept: Option<String>,
}

impl fmt::Debug for RemoteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRequest").field("url", &shown(&self.url)).field("authorization", &self.authorization).finish_non_exhaustive()
    }
}

impl RemoteRequest {
    /// Asks an address without saying who we are.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, authorization: None, accept: None }
    }

    /// Says who we are.
    #[must_use]
    pub fn with_token(mut self, token: Option<&str>) -> Self {
        self.authorization = token.map(Secret::bearer);
        self
    }

    /// Says what kind of answer is wanted.
    #[must_use]
    pub fn with_accept(mut self, accept: impl Into<String>) -> Self {
        self.accept = Some(accept.into());
        self
    }
}

/// A file at its source.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    /// Where it is.
    pub request: RemoteRequest,
    /// Its name, as people know it.
    pub name: String,
    /// Its length in bytes, where it is promised.
    pub size_bytes: Option<u64>,
    /// What its content is, where it is promised.
    pub digest: Option<FileDigest>,
}

/// Returns an address as it may be shown: without names, passwords, the query (signed addresses are as good as passwords)
/// and the fragment.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Fails only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn what_is_shown_of_an_address_gives_nothing_away() {
        let url = Url::parse("https://me:secret@cdn.example/a/b.gguf?X-Signature=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://cdn.example/a/b.gguf");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let request = RemoteRequest::new(Url::parse("https://hub.example/?q=canary").unwrap()).with_token(Some("hf_canary"));
        assert!(!format!("{request:?}").contains("canary"));
        assert_eq!(request.authorization.unwrap().reveal(), "Bearer hf_canary");
    }
}

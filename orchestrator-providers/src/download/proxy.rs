//! Reads the addresses of proxies.

use reqwest::Url;

use crate::settings::ProxySettings;

/// What a proxy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proxied {
    Http,
    Https,
    Everything,
}

impl ProxySettings {
    /// Returns the proxies, the special ones first. The error names what is no address, without what may be a password in it.
    pub(super) fn urls(&self) -> Result<Vec<(Proxied, Url)>, String> {
        let given = [
            (Proxied::Https, "HTTPS_PROXY", &self.https),
            (Proxied::Http, "HTTP_PROXY", &self.http),
            (Proxied::Everything, "ALL_PROXY", &self.all),
        ];
        let mut urls = Vec::new();
        for (proxied, name, text) in given {
            let Some(text) = text.as_deref().map(str::trim).filter(|text| !text.is_empty()) else { continue };
            // `proxy:3128` is as common as `http://proxy:3128`.
            let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
            let url = Url::parse(&text).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
            urls.push((proxied, url.ok_or_else(|| format!("the value of `{name}` is no address of a proxy"))?));
        }
        Ok(urls)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn proxies_are_taken_with_and_without_a_scheme() {
        let settings =
            ProxySettings { https: Some("proxy:3128".to_owned()), all: Some("http://me:pw@all:1".to_owned()), ..Default::default() };
        let urls = settings.urls().unwrap();
        assert_eq!(urls[0], (Proxied::Https, Url::parse("http://proxy:3128").unwrap()));
        assert_eq!(urls[1].0, Proxied::Everything);
    }

    #[test]
    fn what_is_no_proxy_is_named_without_its_text() {
        let settings = ProxySettings { http: Some("http://me:canary@".to_owned()), ..Default::default() };
        let reason = settings.urls().unwrap_err();
        assert!(reason.contains("HTTP_PROXY") && !reason.contains("canary"), "{reason}");
    }
}

//! Addresses of Ollama: what `OLLAMA_HOST` means, and where the library is.
//!
//! Owns: reading them. Does not own: talking to anyone.

use reqwest::Url;

use crate::settings::OllamaSettings;

/// The port of a running Ollama.
const PORT: u16 = 11_434;
/// The library's registry.
const REGISTRY: &str = "https://registry.ollama.ai";
/// The library's own pages.
const CATALOGUE: &str = "https://ollama.com";

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` is `{value}`, which is no address: {reason}")]
pub(super) struct AddressError {
    /// The variable.
    pub(super) setting: &'static str,
    /// What it holds.
    pub(super) value: String,
    /// What is wrong with it.
    pub(super) reason: String,
}

/// Where everything of Ollama is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    /// A running Ollama.
    pub(super) daemon: Url,
    /// The library's registry.
    pub(super) registry: Url,
    /// The library's pages.
    pub(super) catalogue: Url,
}

impl Addresses {
    /// Reads the addresses of the settings.
    pub(super) fn try_new(settings: &OllamaSettings) -> Result<Self, AddressError> {
        Ok(Self {
            daemon: daemon(settings.host.as_deref().unwrap_or_default())?,
            registry: library("ORCH_OLLAMA_REGISTRY", settings.registry.as_deref().unwrap_or(REGISTRY))?,
            catalogue: library("ORCH_OLLAMA_CATALOGUE", settings.catalogue.as_deref().unwrap_or(CATALOGUE))?,
        })
    }
}

/// Reads `OLLAMA_HOST` as Ollama does: `host`, `host:port`, `http://host…`. An address to listen on everywhere means this machine.
fn daemon(value: &str) -> Result<Url, AddressError> {
    const SETTING: &str = "OLLAMA_HOST";
    let text = value.trim().trim_matches(['"', '\'']).trim();
    let refuse = |reason: String| AddressError { setting: SETTING, value: value.to_owned(), reason };
    let has_scheme = text.contains("://");
    let bare = if has_scheme { text.to_owned() } else { format!("http://{}", bracketed(text)) };
    let mut url = checked(SETTING, value, &bare)?;
    // A scheme stands for its own port, as it does to Ollama.
    if !has_scheme && url.port().is_none() && !names_port(text) {
        url.set_port(Some(PORT)).map_err(|()| refuse("it takes no port".to_owned()))?;
    }
    let everywhere = matches!(url.host_str(), Some("0.0.0.0" | "[::]"));
    if everywhere {
        let loopback = if url.host_str() == Some("[::]") { "[::1]" } else { "127.0.0.1" };
        url.set_host(Some(loopback)).map_err(|error| refuse(error.to_string()))?;
    }
    Ok(url)
}

/// Whether a host is followed by a port. `http://host:80` loses it when it is read, for it is the usual one.
fn names_port(text: &str) -> bool {
    let after_host = text.rsplit_once(']').map_or(text, |(_, after)| after);
    after_host.rsplit_once(':').is_some_and(|(_, port)| port.trim_end_matches('/').parse::<u16>().is_ok()) && !is_bare_ipv6(text)
}

fn is_bare_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Puts an address that would be taken for a host and a port into brackets, and this machine where there is no host.
fn bracketed(text: &str) -> String {
    match text {
        "" => "127.0.0.1".to_owned(),
        text if is_bare_ipv6(text) => format!("[{text}]"),
        text if text.starts_with(':') => format!("127.0.0.1{text}"),
        text => text.to_owned(),
    }
}

fn library(setting: &'static str, value: &str) -> Result<Url, AddressError> {
    checked(setting, value, value)
}

/// Reads an address over HTTP that names nobody's password. Its path ends with `/`, so that others can be joined to it.
fn checked(setting: &'static str, value: &str, text: &str) -> Result<Url, AddressError> {
    let shown = || value.chars().take(200).flat_map(char::escape_debug).collect::<String>();
    let refuse = |reason: String| AddressError { setting, value: shown(), reason };
    let mut url = Url::parse(text.trim()).map_err(|error| refuse(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("it begins with neither `http://` nor `https://`".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError { setting, value: "…".to_owned(), reason: "it holds a user name or a password".to_owned() });
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Says whether two addresses are one server to a browser: scheme, host and port.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

/// Returns an address as it is shown: without a slash at its end.
pub(super) fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn the_host_is_read_as_ollama_reads_it() {
        for (value, expected) in [
            ("", "http://127.0.0.1:11434"),
            ("localhost", "http://localhost:11434"),
            ("box:1234", "http://box:1234"),
            (":1234", "http://127.0.0.1:1234"),
            ("box:80", "http://box"),
            (" \"10.0.0.2\" ", "http://10.0.0.2:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("::1", "http://[::1]:11434"),
            ("[::]:9000", "http://[::1]:9000"),
            ("http://box", "http://box"),
            ("https://box/ollama", "https://box/ollama"),
            ("http://box:11434/", "http://box:11434"),
        ] {
            assert_eq!(shown(&daemon(value).unwrap()), expected, "`{value}`");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_name() {
        for value in ["ftp://box", "http://", "box:99999", "http://a b"] {
            let error = daemon(value).unwrap_err();
            assert!(error.to_string().starts_with("`OLLAMA_HOST` is"), "{error}");
        }
        let error = library("ORCH_OLLAMA_REGISTRY", "https://me:secret@box").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(same_origin(&url("https://a/x"), &url("https://a:443/y")));
        for other in ["http://a/", "https://b/", "https://a:444/", "https://a.b/"] {
            assert!(!same_origin(&url("https://a/"), &url(other)), "{other}");
        }
    }
}

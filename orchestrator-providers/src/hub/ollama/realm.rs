//! Where a registry sends us for a token, and whether we go there. Pure.
//!
//! Owns: reading `WWW-Authenticate`, and the rule that a token is asked of the library's own addresses only: a registry that
//! sends us to a stranger is refused, whatever the stranger would be told.

use reqwest::Url;

use super::address::same_origin;

/// The longest header that is read, in bytes.
const LONGEST: usize = 4096;

/// Why no token is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RealmError {
    /// The registry does not say where to.
    #[error("it wants a token and does not say from where")]
    Unclear,
    /// It says who we are to be.
    #[error("it wants a token, and brings a name or a password of its own")]
    Credentials,
    /// It sends us to somebody else.
    #[error("it wants a token from `{origin}`, which is not the registry")]
    Stranger {
        /// Where to.
        origin: String,
    },
}

/// Returns the address that gives the token a registry wants. `ours` are the addresses of the library.
pub(super) fn token_address(header: &str, ours: &[&Url]) -> Result<Url, RealmError> {
    let fields = fields(header).ok_or(RealmError::Unclear)?;
    let field = |name: &str| fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    let mut url = field("realm").and_then(|realm| Url::parse(realm).ok()).ok_or(RealmError::Unclear)?;
    if !ours.iter().any(|known| same_origin(known, &url)) {
        let origin = url.origin().ascii_serialization();
        return Err(RealmError::Stranger { origin });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RealmError::Credentials);
    }
    let asked: Vec<_> = ["service", "scope"].into_iter().filter_map(|name| Some((name, field(name)?))).collect();
    url.query_pairs_mut().extend_pairs(asked);
    Ok(url)
}

/// Splits `Bearer realm="…",service="…"` into its fields.
fn fields(header: &str) -> Option<Vec<(String, String)>> {
    let header = header.trim();
    let (scheme, mut rest) = header.split_once(' ').filter(|_| header.len() <= LONGEST)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut fields = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return Some(fields);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        fields.push((name.trim().to_owned(), value.trim().to_owned()));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn asked(header: &str) -> Result<String, RealmError> {
        let ours = [Url::parse("https://registry.example").unwrap(), Url::parse("https://library.example").unwrap()];
        token_address(header, &ours.iter().collect::<Vec<_>>()).map(String::from)
    }

    #[test]
    fn a_token_is_asked_of_the_library_itself() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://registry.example/token",service="registry",scope="repository:library/x:pull,push""#,
                "https://registry.example/token?service=registry&scope=repository%3Alibrary%2Fx%3Apull%2Cpush",
            ),
            (r#"bearer  realm="https://library.example/token" , service=plain"#, "https://library.example/token?service=plain"),
            (r#"Bearer realm="https://registry.example/token?a=b""#, "https://registry.example/token?a=b&"),
        ] {
            assert_eq!(asked(header).unwrap().trim_end_matches(['&', '?']), expected.trim_end_matches('&'), "{header}");
        }
    }

    #[test]
    fn strangers_are_refused() {
        for realm in [
            "https://evil.example/token",
            "http://registry.example/token",
            "https://registry.example:444/token",
            "https://registry.example.evil/token",
            "https://registry.example@evil.example/token",
            "file:///etc/passwd",
        ] {
            let error = asked(&format!(r#"Bearer realm="{realm}",service="x""#)).unwrap_err();
            assert!(matches!(error, RealmError::Stranger { .. }), "{realm}: {error}");
        }
        assert_eq!(asked(r#"Bearer realm="https://me:secret@registry.example/token""#), Err(RealmError::Credentials));
    }

    #[test]
    fn what_says_nothing_is_unclear() {
        for header in [
            "",
            "Bearer",
            "Basic realm=\"x\"",
            "Bearer realm",
            "Bearer realm=\"x",
            "Bearer service=\"x\"",
            "Bearer realm=\"not an address\"",
        ] {
            assert_eq!(asked(header), Err(RealmError::Unclear), "{header}");
        }
        assert_eq!(asked(&format!("Bearer realm=\"{}\"", "x".repeat(LONGEST))), Err(RealmError::Unclear));
    }
}

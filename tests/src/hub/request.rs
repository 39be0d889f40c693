//! [`Request`]: what a client of the fake hub asks.

use std::io::{BufRead, Read as _};

/// A head has at most this many lines, and a line this many bytes.
const LINES: usize = 200;
const LINE: u64 = 64 * 1024;
/// A body has at most this many bytes.
const BODY: usize = 16 * 1024 * 1024;

/// What a client asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it came, without what follows `?`.
    pub(super) raw_path: String,
    /// Decoded.
    pub(super) path: String,
    /// Decoded.
    pub(super) query: Vec<(String, String)>,
    /// Names in lower case, and values.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads the next request of a connection; `None` at its end.
    pub(super) fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.by_ref().take(LINE).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
        // A proxy's client names the host as well.
        let target = target.strip_prefix("http://").map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
        let (raw_path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| (decoded(name), decoded(value)));
        let mut request =
            Self { method, path: decoded_path(raw_path), raw_path: raw_path.to_owned(), query: query.collect(), ..Self::default() };
        for _ in 0..LINES {
            line.clear();
            reader.by_ref().take(LINE).read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        request.body = vec![0; BODY.min(length)];
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name.
    pub(super) fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The parts of the path, each decoded for itself: `refs%2Fpr%2F1` is one.
    pub(super) fn segments(&self) -> Vec<String> {
        self.raw_path.trim_start_matches('/').split('/').map(decoded_path).collect()
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The token of `Authorization: Bearer TOKEN`.
    pub(super) fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

/// `+` is a space in a query.
fn decoded(text: &str) -> String {
    decoded_path(&text.replace('+', " "))
}

fn decoded_path(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(digits.unwrap_or(bytes[at]));
        at += if digits.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Writes a path so that it can stand in a URL, each part of it for itself.
pub(super) fn encoded_path(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    path.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_decoded() {
        let text =
            "GET /a%20b/c%2Fd?search=x+y%21&limit=3 HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer secret\r\ncontent-length: 2\r\n\r\n{}";
        let request = Request::read(&mut text.as_bytes()).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/a b/c/d"));
        assert_eq!((request.query("search"), request.query("limit"), request.query("other")), (Some("x y!"), Some("3"), None));
        assert_eq!((request.token(), request.body.as_slice()), (Some("secret"), &b"{}"[..]));
        assert_eq!(encoded_path("a b/ü#"), "a%20b/%C3%BC%23");
    }
}

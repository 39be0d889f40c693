//! Judges the head of an answer: is it the part of the file that was asked for, and still the same file? Pure.

use std::fmt;
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{StatusCode, Url};

use super::error::DownloadError;
use super::request::shown;

/// The longest tag that is taken.
const LONGEST_TAG: usize = 512;
/// How much of what a host says is shown.
const LONGEST_MESSAGE: usize = 300;

/// A part of a file: `start` to `end`, without `end`. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl ByteRange {
    pub(super) fn len(self) -> u64 {
        self.end - self.start
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={}-{}", self.start, self.end - 1)
    }
}

/// What a `Content-Range` header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentRange {
    /// This part of so many bytes.
    Part { range: ByteRange, total: Option<u64> },
    /// The file has so many bytes, and no such part.
    Unsatisfied { total: u64 },
}

impl ContentRange {
    /// Reads the header. Nothing, for one that is broken.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (part, total) = rest.trim().split_once('/')?;
        let total = if total == "*" { None } else { Some(number(total)?) };
        if part == "*" {
            return Some(Self::Unsatisfied { total: total? });
        }
        let (first, last) = part.split_once('-')?;
        let range = ByteRange { start: number(first)?, end: number(last)?.checked_add(1)? };
        let fits = range.start < range.end && total.is_none_or(|total| range.end <= total);
        fits.then_some(Self::Part { range, total })
    }
}

/// Digits and nothing else: `parse` alone would take `+1`.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What a hub says about a file before it sends us to its storage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct HubHeaders {
    /// `X-Linked-Etag`.
    pub(super) etag: Option<String>,
    /// `X-Linked-Size`.
    pub(super) size: Option<u64>,
    /// `X-Repo-Commit`.
    pub(super) commit: Option<String>,
}

impl HubHeaders {
    /// Takes what an answer of the hub itself says. The first word counts.
    pub(super) fn take_from(&mut self, headers: &HeaderMap) {
        self.etag = self.etag.take().or_else(|| tag(headers, "x-linked-etag"));
        self.size = self.size.or_else(|| number(text(headers, "x-linked-size")?));
        self.commit = self.commit.take().or_else(|| text(headers, "x-repo-commit").map(str::to_owned));
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Returns a tag without its quotes and the mark of a weak one.
fn tag(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = text(headers, name)?;
    let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    (!text.is_empty() && text.len() <= LONGEST_TAG).then(|| text.to_owned())
}

/// Returns the tag of the file.
pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    tag(headers, "etag")
}

/// What an answer with a success is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The part that was asked for, of a file of so many bytes.
    Part { range: ByteRange, total: u64 },
    /// All of it from its start, of so many bytes where it is told.
    Whole { total: Option<u64> },
}

/// Judges an answer with a success. A part may be shorter than what was asked for only where the file ends.
pub(super) fn content(url: &Url, asked: Option<ByteRange>, status: StatusCode, headers: &HeaderMap) -> Result<Content, DownloadError> {
    check_encoding(url, headers)?;
    let length = text(headers, "content-length").and_then(number);
    match (status, asked) {
        (StatusCode::OK, _) => Ok(Content::Whole { total: length }),
        (StatusCode::PARTIAL_CONTENT, Some(asked)) => part(url, asked, headers, length),
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(asked)) => match text(headers, "content-range").and_then(ContentRange::parse) {
            Some(ContentRange::Unsatisfied { total: 0 }) => Ok(Content::Whole { total: Some(0) }),
            Some(ContentRange::Unsatisfied { total }) => Err(DownloadError::RangeMismatch {
                url: shown(url),
                asked: asked.to_string(),
                answer: format!("416: it has {total} bytes"),
            }),
            _ => Err(DownloadError::RangeMismatch { url: shown(url), asked: asked.to_string(), answer: "416".to_owned() }),
        },
        _ => Err(DownloadError::Status { url: shown(url), status: status.as_u16(), message: None }),
    }
}

fn part(url: &Url, asked: ByteRange, headers: &HeaderMap, length: Option<u64>) -> Result<Content, DownloadError> {
    let answer = text(headers, "content-range");
    let mismatch = || DownloadError::RangeMismatch {
        url: shown(url),
        asked: asked.to_string(),
        answer: answer.map_or_else(|| "no range".to_owned(), |answer| format!("`{}`", excerpt(answer.as_bytes()))),
    };
    let Some(ContentRange::Part { range, total: Some(total) }) = answer.and_then(ContentRange::parse) else { return Err(mismatch()) };
    let whole_part = range.start == asked.start && range.end == asked.end.min(total);
    let whole_body = length.is_none_or(|length| length == range.len());
    if whole_part && whole_body { Ok(Content::Part { range, total }) } else { Err(mismatch()) }
}

/// Refuses a body that is not the bytes of the file.
pub(super) fn check_encoding(url: &Url, headers: &HeaderMap) -> Result<(), DownloadError> {
    let refused = |encoding: &str| DownloadError::Encoding { url: shown(url), encoding: excerpt(encoding.as_bytes()) };
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let encoding = value.to_str().unwrap_or("?").trim();
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return Err(refused(encoding));
        }
    }
    let kind = text(headers, "content-type").unwrap_or_default();
    if kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/")) {
        return Err(refused(kind));
    }
    Ok(())
}

/// Says what a status that is no success means.
pub(super) fn refusal(url: &Url, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> DownloadError {
    let url = shown(url);
    let message = text(headers, "x-error-message").map(|text| excerpt(text.as_bytes())).or_else(|| readable(headers, body));
    match status.as_u16() {
        401 => DownloadError::Unauthorized { url, message },
        403 => DownloadError::Forbidden { url, message },
        status @ (429 | 503) => DownloadError::RateLimited { url, status, retry_after: retry_after(headers) },
        status => DownloadError::Status { url, status, message },
    }
}

/// Returns how long a host asks us to wait, where it says so in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, "retry-after").and_then(number).map(Duration::from_secs)
}

/// Returns the words of a body that is meant to be read: text or JSON, no page.
fn readable(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let kind = text(headers, "content-type").unwrap_or_default();
    let words = kind.starts_with("text/plain") || kind.starts_with("application/json");
    let text = excerpt(body);
    (words && !text.trim().is_empty()).then_some(text)
}

/// Returns the start of what a stranger says, with control characters escaped.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_MESSAGE)]);
    let mut clean = String::new();
    for letter in text.trim().chars() {
        match letter {
            '"' | '\'' | '\\' => clean.push(letter),
            other => clean.extend(other.escape_debug()),
        }
    }
    clean
}

#[cfg(test)]
mod tests;

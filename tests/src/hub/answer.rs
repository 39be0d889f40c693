//! [`Answer`]: what the fake hub says, and how it is delivered, as data that a misbehaviour can change.

use serde_json::Value;

use super::content::{Content, index};
use super::misbehaviour::Part;
use super::request::Request;

/// What is said.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) part: Part,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) delivery: Delivery,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Json(Value),
    Bytes(Vec<u8>),
    /// A part of a file. Beyond its end there are zeros.
    File {
        content: Content,
        offset: u64,
        length: u64,
    },
}

/// How it is brought. The default is how it should be.
#[derive(Debug, Clone, Default)]
pub(super) struct Delivery {
    pub(super) before: Before,
    pub(super) end: End,
    /// The length that the head promises, where it is not that of the body.
    pub(super) promised: Option<u64>,
    /// How many bytes follow that were not promised.
    pub(super) extra: u64,
    /// The place in the file whose byte has a wrong bit.
    pub(super) flipped: Option<u64>,
    /// Bytes per second, of the head and of the body.
    pub(super) head_rate: Option<u64>,
    pub(super) body_rate: Option<u64>,
}

/// What comes before the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Before {
    #[default]
    Nothing,
    Hang,
    Close,
    Nonsense,
}

/// How the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    #[default]
    Complete,
    ClosedAfter(u64),
    ResetAfter(u64),
    HangsAfter(u64),
    BadChunksAfter(u64),
}

impl Body {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Json(value) => value.to_string().len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Returns all of it. For what is not large.
    pub(super) fn all(&self) -> Vec<u8> {
        match self {
            Self::Json(value) => value.to_string().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::File { content, offset, length } => content.read(*offset..*offset + *length),
        }
    }

    /// Fills `bytes` with what is at `offset` of the body; `flipped` is a place in the file.
    pub(super) fn read_into(&self, at: u64, bytes: &mut [u8], flipped: Option<u64>) {
        match self {
            Self::Json(_) => bytes.copy_from_slice(&self.all()[index(at)..][..bytes.len()]),
            Self::Bytes(all) => bytes.copy_from_slice(&all[index(at)..][..bytes.len()]),
            Self::File { content, offset, .. } => {
                let begin = offset + at;
                content.read_into(begin, bytes);
                let place = flipped.and_then(|place| place.checked_sub(begin)).filter(|place| *place < bytes.len() as u64);
                if let Some(place) = place {
                    bytes[index(place)] ^= 0x10;
                }
            }
        }
    }
}

impl Answer {
    pub(super) fn new(part: Part, status: u16, body: Body) -> Self {
        Self { part, status, headers: Vec::new(), body, delivery: Delivery::default() }
    }

    pub(super) fn json(part: Part, status: u16, value: Value) -> Self {
        Self::new(part, status, Body::Json(value)).with("content-type", "application/json; charset=utf-8")
    }

    pub(super) fn text(part: Part, status: u16, text: &str) -> Self {
        Self::new(part, status, Body::Bytes(text.as_bytes().to_vec())).with("content-type", "text/plain; charset=utf-8")
    }

    pub(super) fn html(part: Part, status: u16, text: &str) -> Self {
        Self::new(part, status, Body::Bytes(text.as_bytes().to_vec())).with("content-type", "text/html; charset=utf-8")
    }

    pub(super) fn redirect(status: u16, location: &str) -> Self {
        let text = format!("Found. Redirecting to {location}");
        Self::text(Part::Redirect, status, &text).with("location", location)
    }

    /// Answers with a file, or with the part of it that is asked for.
    pub(super) fn file(request: &Request, content: &Content, etag: &str) -> Self {
        let part = if request.is_head() { Part::Head } else { Part::Bytes };
        let size = content.size();
        let is_current = request.header("if-range").is_none_or(|known| known == etag);
        let range = request.header("range").filter(|_| is_current && !request.is_head()).and_then(|text| Range::parse(text, size));
        let whole = Body::File { content: content.clone(), offset: 0, length: size };
        let answer = match range {
            None => Self::new(part, 200, whole),
            Some(Range::Nowhere) => Self::new(part, 416, Body::Bytes(Vec::new())).with("content-range", &format!("bytes */{size}")),
            Some(Range::Between { first, last }) => {
                let body = Body::File { content: content.clone(), offset: first, length: last - first + 1 };
                Self::new(part, 206, body).with("content-range", &format!("bytes {first}-{last}/{size}"))
            }
        };
        answer.with("accept-ranges", "bytes").with("etag", etag).with("content-type", "application/octet-stream")
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.headers.retain(|(found, _)| found != name);
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What `Range` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Between { first: u64, last: u64 },
    Nowhere,
}

impl Range {
    /// Several ranges at once are answered with everything, as they may be.
    fn parse(text: &str, size: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last) = match (first.parse().ok(), last.parse().ok()) {
            (Some(first), Some(last)) => (first, u64::min(last, size.saturating_sub(1))),
            (Some(first), None) if last.is_empty() => (first, size.saturating_sub(1)),
            (None, Some(count)) if first.is_empty() => (size.saturating_sub(count), size.saturating_sub(1)),
            _ => return None,
        };
        Some(if first >= size || first > last { Self::Nowhere } else { Self::Between { first, last } })
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn ranges_are_understood() {
        let between = |first, last| Some(Range::Between { first, last });
        for (text, expected) in [
            ("bytes=0-0", between(0, 0)),
            ("bytes=3-", between(3, 9)),
            ("bytes=-4", between(6, 9)),
            ("bytes=5-100", between(5, 9)),
            ("bytes=10-", Some(Range::Nowhere)),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(Range::parse(text, 10), expected, "{text}");
        }
    }
}

//! The head of a request, written, and that of an answer, read. Pure.

use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use super::WireError;

/// How many headers an answer may have.
const MOST_HEADERS: usize = 100;

/// Where an answer's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last of its chunks.
    Chunked,
    /// Where the connection ends.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<Framing>,
    /// Whether another request may follow on the connection.
    pub(super) is_kept_open: bool,
}

/// Writes the head of a request with a body of this length. Its headers do not say the length themselves.
pub(super) fn write(parts: &Parts, body_length: usize, output: &mut BytesMut) {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let size = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    output.reserve(parts.method.as_str().len() + path.len() + size + 64);
    output.put_slice(parts.method.as_str().as_bytes());
    output.put_u8(b' ');
    output.put_slice(path.as_bytes());
    output.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in &parts.headers {
        if *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING {
            continue;
        }
        output.put_slice(name.as_str().as_bytes());
        output.put_slice(b": ");
        output.put_slice(value.as_bytes());
        output.put_slice(b"\r\n");
    }
    if body_length > 0 || !matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE) {
        output.put_slice(b"content-length: ");
        let mut digits = [0; 20];
        output.put_slice(decimal(body_length, &mut digits));
        output.put_slice(b"\r\n");
    }
    output.put_slice(b"\r\n");
}

/// Writes a number without an allocation.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        #[expect(clippy::cast_possible_truncation, reason = "a digit")]
        let digit = (number % 10) as u8;
        digits[at] = b'0' + digit;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Takes the head of an answer off `input`, once it is there as a whole. Interim answers (1xx) are skipped.
pub(super) fn take(input: &mut BytesMut) -> Result<Option<Head>, WireError> {
    while let Some(length) = length_of(input)? {
        let bytes = input.split_to(length).freeze();
        let mut found = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut found);
        if parse(&mut parsed, &bytes)? != httparse::Status::Complete(length) {
            return Err(broken("it ends where it should not"));
        }
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| broken("its status"))?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(broken("it switches to another protocol, which nobody asked for"));
        }
        if status.is_informational() {
            continue;
        }
        let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut headers = HeaderMap::with_capacity(parsed.headers.len() + 4);
        for header in &*parsed.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| broken("the name of a header"))?;
            let value = HeaderValue::from_maybe_shared(bytes.slice_ref(header.value)).map_err(|_| broken("the value of a header"))?;
            headers.append(name, value);
        }
        let framing = framing(status, &headers)?;
        let is_kept_open = framing != Framing::UntilClose && is_kept_open(version, &headers);
        let mut response = Response::new(framing);
        *response.status_mut() = status;
        *response.version_mut() = version;
        *response.headers_mut() = headers;
        return Ok(Some(Head { response, is_kept_open }));
    }
    Ok(None)
}

/// Returns how long the head is; nothing while it is not there as a whole. What can be no head is an error at once.
fn length_of(input: &[u8]) -> Result<Option<usize>, WireError> {
    if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
        return Ok(Some(end + 4));
    }
    let mut found = [httparse::EMPTY_HEADER; MOST_HEADERS];
    match parse(&mut httparse::Response::new(&mut found), input)? {
        httparse::Status::Complete(length) => Ok(Some(length)),
        httparse::Status::Partial => Ok(None),
    }
}

fn parse<'b>(response: &mut httparse::Response<'_, 'b>, input: &'b [u8]) -> Result<httparse::Status<usize>, WireError> {
    response.parse(input).map_err(|error| broken(error.to_string()))
}

fn broken(detail: impl Into<String>) -> WireError {
    WireError::Head { detail: detail.into() }
}

/// Says where the body ends (RFC 9112, 6.3). Nobody here asks with HEAD or CONNECT.
fn framing(status: StatusCode, headers: &HeaderMap) -> Result<Framing, WireError> {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Length(0));
    }
    if let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        let last = coding.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        return Ok(if last.eq_ignore_ascii_case(b"chunked") { Framing::Chunked } else { Framing::UntilClose });
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|value| {
        let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| broken("its `Content-Length` is no number"))
    });
    let Some(first) = lengths.next().transpose()? else { return Ok(Framing::UntilClose) };
    for other in lengths {
        if other? != first {
            return Err(broken("it has two lengths"));
        }
    }
    Ok(Framing::Length(first))
}

fn is_kept_open(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        let values = headers.get_all(CONNECTION).iter();
        values
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    if version == Version::HTTP_10 { says("keep-alive") } else { !says("close") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use http::Request;

    use super::*;

    fn read(text: &str) -> Result<Option<Head>, WireError> {
        take(&mut BytesMut::from(text))
    }

    #[test]
    fn where_a_body_ends() {
        for (head, framing, is_kept_open) in [
            ("200 OK\r\ncontent-length: 5\r\n", Framing::Length(5), true),
            ("200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n", Framing::Length(5), true),
            ("200 OK\r\nTransfer-Encoding: chunked\r\n", Framing::Chunked, true),
            ("200 OK\r\ntransfer-encoding: gzip, Chunked\r\ncontent-length: 5\r\n", Framing::Chunked, true),
            ("200 OK\r\ntransfer-encoding: gzip\r\n", Framing::UntilClose, false),
            ("200 OK\r\n", Framing::UntilClose, false),
            ("204 No Content\r\n", Framing::Length(0), true),
            ("304 x\r\ncontent-length: 9\r\n", Framing::Length(0), true),
            ("200 OK\r\ncontent-length: 5\r\nconnection: x, Close\r\n", Framing::Length(5), false),
        ] {
            let found = read(&format!("HTTP/1.1 {head}\r\n")).unwrap().unwrap();
            assert_eq!((*found.response.body(), found.is_kept_open), (framing, is_kept_open), "{head}");
        }
        let old = read("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n").unwrap().unwrap();
        assert!(!old.is_kept_open);
    }

    #[test]
    fn a_head_that_is_none_is_refused() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 9999 x\r\n\r\n",
            "HTTP/1.1 101 x\r\nupgrade: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert!(read(&many).is_err());
    }

    #[test]
    fn interim_answers_are_skipped_and_the_body_stays() {
        let mut input = BytesMut::from("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx-a: 1\r\nX-A: 2\r\ncontent-length: 2\r\n\r\nhi");
        let head = take(&mut input).unwrap().unwrap();
        assert_eq!(&input[..], b"hi");
        let values: Vec<_> = head.response.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(read("HTTP/1.1 200 OK\r\nx-a").unwrap().is_none());
    }

    #[test]
    fn a_request_says_its_length_once() {
        let request = Request::post("/v1/x?y=1").header("host", "a").header("content-length", "7").body(()).unwrap();
        let mut output = BytesMut::new();
        write(&request.into_parts().0, 1_203, &mut output);
        assert_eq!(&output[..], b"POST /v1/x?y=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1203\r\n\r\n");
        output.clear();
        write(&Request::get("/").body(()).unwrap().into_parts().0, 0, &mut output);
        assert_eq!(&output[..], b"GET / HTTP/1.1\r\n\r\n");
    }
}

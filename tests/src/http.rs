//! A small blocking HTTP/1.1 client: one connection for each request, and the body piece by piece.
//!
//! Hand-written so that a test can do what no well-behaved client does: go away, send half, send nonsense.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer takes longer in a test.
const LIMIT: Duration = Duration::from_mins(1);

/// A response whose body is read piece by piece.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Debug)]
struct Body {
    reader: BufReader<TcpStream>,
    framing: Framing,
}

#[derive(Debug, PartialEq)]
enum Framing {
    Length(usize),
    Chunked,
    Ended,
    UntilClose,
}

/// Sends a request to `endpoint` (`http://HOST:PORT`, or `HOST:PORT`) and reads the head of the answer.
///
/// # Errors
/// Fails when there is no connection or no valid head.
pub fn send(endpoint: &str, method: &str, path: &str, body: &[u8]) -> std::io::Result<Response> {
    let headers = if body.is_empty() { Vec::new() } else { vec![("content-type", "application/json")] };
    send_with(endpoint, method, path, &headers, body)
}

/// Like [`send`], with headers of one's own.
///
/// # Errors
/// Fails when there is no connection or no valid head.
pub fn send_with(endpoint: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Response> {
    let authority = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), "connection: close".to_owned()];
    if !headers.iter().any(|(name, _)| *name == "host") {
        lines.push(format!("host: {authority}"));
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-length") {
        lines.push(format!("content-length: {}", body.len()));
    }
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    let head = lines.join("\r\n") + "\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    // A server may refuse a large body before it has read it; its answer counts then.
    let written = stream.write_all(body);
    let response = read_head(stream);
    if response.is_err() {
        written?;
    }
    response
}

/// Reads the head of an answer.
pub(crate) fn read_head(stream: TcpStream) -> std::io::Result<Response> {
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "no valid head of a response");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let framing = if find("transfer-encoding") == Some("chunked") {
        Framing::Chunked
    } else {
        find("content-length").and_then(|length| length.parse().ok()).map_or(Framing::UntilClose, Framing::Length)
    };
    Ok(Response { status, headers, body: Body { reader, framing } })
}

impl Response {
    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Reads the next piece as it arrives; `None` at the proper end of the body.
    ///
    /// # Errors
    /// Fails when the connection ends before the body does.
    pub fn next_piece(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let Body { reader, framing } = &mut self.body;
        let cut = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the body was cut short");
        match framing {
            Framing::Ended | Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                let mut piece = vec![0; (*left).min(64 * 1024)];
                let count = reader.read(&mut piece)?;
                if count == 0 {
                    return Err(cut());
                }
                *left -= count;
                piece.truncate(count);
                Ok(Some(piece))
            }
            Framing::UntilClose => {
                let mut piece = vec![0; 64 * 1024];
                let count = reader.read(&mut piece)?;
                piece.truncate(count);
                Ok((count > 0).then_some(piece))
            }
            Framing::Chunked => {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16).map_err(|_| cut())?;
                let mut piece = vec![0; size + 2];
                reader.read_exact(&mut piece)?;
                piece.truncate(size);
                if size == 0 {
                    *framing = Framing::Ended;
                    return Ok(None);
                }
                Ok(Some(piece))
            }
        }
    }

    /// Returns the connection, to be closed from elsewhere.
    pub(crate) fn connection(&self) -> std::io::Result<TcpStream> {
        self.body.reader.get_ref().try_clone()
    }

    /// Reads the whole body as text.
    ///
    /// # Errors
    /// Fails when the connection ends before the body does.
    pub fn text(mut self) -> std::io::Result<String> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next_piece()? {
            bytes.extend(piece);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads the whole body as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(self) -> serde_json::Value {
        let status = self.status;
        let text = self.text().unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in the body of a {status}: {text}"))
    }
}

/// Returns the data of the server-sent events in `text`.
#[must_use]
pub fn events(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

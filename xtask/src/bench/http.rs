//! The little HTTP that a measurement speaks itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::shell::TaskResult;

/// No answer takes longer.
const LIMIT: Duration = Duration::from_mins(1);

/// Returns the status of an answer, where there is one.
pub(crate) fn status(address: &str, path: &str) -> Option<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).ok().map(|(status, _)| status)
}

/// Sends JSON; the answer must be a good one. Returns all of it.
pub(crate) fn post(address: &str, path: &str, body: &str) -> TaskResult<String> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, answer) = exchange(address, request.as_bytes()).map_err(|error| format!("{address} did not answer: {error}"))?;
    if status == 200 { Ok(answer) } else { Err(format!("{address} answered {answer}")) }
}

/// Asks for something; the answer must be a good one. Returns its body.
pub(crate) fn get(address: &str, path: &str) -> TaskResult<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let (status, answer) = exchange(address, request.as_bytes()).map_err(|error| format!("{address} did not answer: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) if status == 200 => Ok(body.to_owned()),
        _ => Err(format!("{address} answered {answer}")),
    }
}

fn exchange(address: &str, request: &[u8]) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, answer))
}

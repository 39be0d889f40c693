//! Answers no server should give.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use orchestrator_tests::behaviour::BadAnswer;

use crate::{LIFETIME, send_chunk, send_error, wait_for_client};

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"}}]}\n\n";

/// Spoils one answer. An error ends the connection, and so does one that must not go on.
pub(crate) fn send(kind: BadAnswer, stream: &mut TcpStream) -> std::io::Result<()> {
    match kind {
        BadAnswer::Silence => wait_for_client(stream, LIFETIME),
        BadAnswer::Close => broken(),
        BadAnswer::Reset => reset(stream),
        BadAnswer::Nonsense => {
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")?;
            broken()
        }
        BadAnswer::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                stream.write_all(b"x-more: and more and more and more and more and more and more\r\n")?;
            }
        }
        BadAnswer::DrippingHead => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n" {
                stream.write_all(&[*byte])?;
                wait_for_client(stream, Duration::from_millis(5))?;
            }
            wait_for_client(stream, LIFETIME)
        }
        BadAnswer::ShortBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"half\":")?;
            broken()
        }
        BadAnswer::ShortLargeBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\n\r\n")?;
            stream.write_all(&vec![b' '; 4_000_000])?;
            broken()
        }
        BadAnswer::DrippingBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8192\r\n\r\n")?;
            for _ in 0..8_192 {
                stream.write_all(b" ")?;
                wait_for_client(stream, Duration::from_millis(10))?;
            }
            Ok(())
        }
        BadAnswer::LongBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}{\"and\":\"more\"}")?;
            broken()
        }
        BadAnswer::BadChunking => {
            stream.write_all(STREAM)?;
            send_chunk(stream, EVENT)?;
            stream.write_all(b"zz\r\nno chunk\r\n")?;
            wait_for_client(stream, LIFETIME)
        }
        BadAnswer::ResetStream => {
            stream.write_all(STREAM)?;
            send_chunk(stream, EVENT)?;
            // What was sent must be read before the reset, which throws away what was not.
            wait_for_client(stream, Duration::from_millis(20))?;
            reset(stream)
        }
        BadAnswer::SilentStream => {
            stream.write_all(STREAM)?;
            send_chunk(stream, EVENT)?;
            wait_for_client(stream, LIFETIME)
        }
        BadAnswer::DrippingStream => {
            stream.write_all(STREAM)?;
            for byte in [EVENT, EVENT, "data: [DONE]\n\n"].concat().chars() {
                send_chunk(stream, &byte.to_string())?;
                wait_for_client(stream, Duration::from_millis(1))?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        BadAnswer::EndlessLine => {
            stream.write_all(STREAM)?;
            send_chunk(stream, "data: ")?;
            let piece = "x".repeat(64 * 1024);
            loop {
                send_chunk(stream, &piece)?;
            }
        }
        BadAnswer::Busy => send_error(stream, 503, "fake: busy", "unavailable_error"),
        BadAnswer::Broken => send_error(stream, 500, "fake: broken", "server_error"),
    }
}

fn broken() -> std::io::Result<()> {
    Err(std::io::ErrorKind::ConnectionAborted.into())
}

fn reset(stream: &TcpStream) -> std::io::Result<()> {
    // Closing now resets.
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    broken()
}

//! Bringing an [`Answer`] to a client, well or badly.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::answer::{Answer, Before, End};
use super::pace::{Limits, Pace, piece};

/// How often who waits for nothing looks whether the client is still there.
const LOOK: Duration = Duration::from_millis(20);

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Next,
    Close,
}

/// What sending needs to know of the hub.
pub(super) struct Line<'a> {
    pub(super) stream: &'a TcpStream,
    pub(super) limits: Limits,
    pub(super) total: &'a Pace,
    pub(super) own: &'a Pace,
    pub(super) ending: &'a AtomicBool,
    /// Takes the number of bytes of the body that went out.
    pub(super) sent: &'a dyn Fn(u64),
}

/// Brings an answer; `is_head` for the head alone.
pub(super) fn send(line: &Line<'_>, answer: &Answer, is_head: bool) -> std::io::Result<After> {
    std::thread::sleep(Duration::from_millis(line.limits.latency_ms));
    let delivery = &answer.delivery;
    match delivery.before {
        Before::Nothing => {}
        Before::Hang => return line.hang(),
        Before::Close => return Ok(After::Close),
        Before::Nonsense => {
            line.write(b"\x16\x03\x01\x02\x00\x01 this is no HTTP\r\n\r\n", None)?;
            return Ok(After::Close);
        }
    }
    let chunks = matches!(delivery.end, End::BadChunksAfter(_));
    let length = answer.body.len();
    line.write(head(answer, chunks, delivery.promised.unwrap_or(length)).as_bytes(), delivery.head_rate)?;
    if is_head || answer.status == 304 {
        return Ok(After::Next);
    }
    let until = match delivery.end {
        End::Complete => length,
        End::ClosedAfter(count) | End::ResetAfter(count) | End::HangsAfter(count) | End::BadChunksAfter(count) => length.min(count),
    };
    line.send_body(answer, until, chunks)?;
    match delivery.end {
        End::Complete if delivery.extra == 0 && delivery.promised.is_none() => Ok(After::Next),
        End::Complete => {
            line.write(&vec![b'x'; usize::try_from(delivery.extra).unwrap_or_default()], None)?;
            Ok(After::Close)
        }
        End::ClosedAfter(_) => Ok(After::Close),
        End::HangsAfter(_) => line.hang(),
        End::ResetAfter(_) => {
            rustix::net::sockopt::set_socket_linger(line.stream, Some(Duration::ZERO))?;
            Ok(After::Close)
        }
        End::BadChunksAfter(_) => {
            line.write(b"not-a-number\r\nwhat is this\r\n", None)?;
            Ok(After::Close)
        }
    }
}

fn head(answer: &Answer, chunks: bool, length: u64) -> String {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let framing = if chunks { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {length}") };
    head + &framing + "\r\n\r\n"
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        307 => "Temporary Redirect",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        _ => "Whatever",
    }
}

impl Line<'_> {
    fn send_body(&self, answer: &Answer, until: u64, chunks: bool) -> std::io::Result<()> {
        let rate = answer.delivery.body_rate;
        let mut buffer = vec![0; piece(&[rate, self.limits.total, self.limits.per_connection])];
        let mut at = 0;
        while at < until {
            let count = usize::try_from(until - at).unwrap_or(usize::MAX).min(buffer.len());
            let bytes = &mut buffer[..count];
            answer.body.read_into(at, bytes, answer.delivery.flipped);
            for rate in [rate, self.limits.per_connection].into_iter().flatten() {
                self.own.wait(count, rate);
            }
            if let Some(rate) = self.limits.total {
                self.total.wait(count, rate);
            }
            // Before it goes: whoever has it all must find that it was counted.
            (self.sent)(count as u64);
            if chunks {
                self.write(format!("{count:x}\r\n").as_bytes(), None)?;
            }
            self.write(bytes, None)?;
            if chunks {
                self.write(b"\r\n", None)?;
            }
            at += count as u64;
            if self.ending.load(Ordering::SeqCst) {
                return Err(ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], rate: Option<u64>) -> std::io::Result<()> {
        let mut stream = self.stream;
        let Some(rate) = rate else { return stream.write_all(bytes) };
        for part in bytes.chunks(piece(&[Some(rate)])) {
            self.own.wait(part.len(), rate);
            stream.write_all(part)?;
            if self.ending.load(Ordering::SeqCst) {
                return Err(ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }

    /// Does nothing until the client goes away or the hub ends.
    fn hang(&self) -> std::io::Result<After> {
        self.stream.set_read_timeout(Some(LOOK))?;
        while !self.ending.load(Ordering::SeqCst) {
            match self.stream.peek(&mut [0]) {
                Ok(0) => break,
                Ok(_) => std::thread::sleep(LOOK),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(After::Close)
    }
}

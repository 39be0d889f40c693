//! Many clients in one process, without a thread for each: what a crowd of them sends, and what becomes of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{CHAT, chat_body};

/// The variable that says how large a crowd is.
const CROWD: &str = "ORCH_FAULTS_CROWD";
/// Nothing a crowd waits for takes longer.
const LIMIT: Duration = Duration::from_mins(2);

/// Returns how many clients a crowd has: as the environment says, or this many.
pub(super) fn size(usual: usize) -> usize {
    std::env::var(CROWD).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Lets this process open as many files as the system allows it.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// How a client fared that asked for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It got all of it.
    Whole,
    /// It was told to come back.
    Refused,
    /// Anything else.
    Broken(String),
}

/// Asks for a stream and reads it to its end; counts itself once it is answered.
pub(super) async fn listen(authority: String, model: &'static str, answered: &AtomicUsize) -> Fate {
    match tokio::time::timeout(LIMIT, listen_on(&authority, model, answered)).await {
        Ok(Ok(fate)) => fate,
        Ok(Err(error)) => Fate::Broken(error.to_string()),
        Err(_) => Fate::Broken("no end".to_owned()),
    }
}

async fn listen_on(authority: &str, model: &str, answered: &AtomicUsize) -> std::io::Result<Fate> {
    let mut stream = TcpStream::connect(authority).await?;
    let sent = stream.write_all(request(authority, &chat_body(model, "crowd", true).to_string()).as_bytes()).await;
    let mut buffer = [0; 1024];
    let mut end = String::new();
    let mut is_first = true;
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(count) => count,
            // Who is refused may be told so before its request was read.
            Err(_) if end.starts_with("HTTP/1.1 429") => 0,
            Err(error) => return Err(error),
        };
        if count == 0 {
            break;
        }
        end.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if is_first {
            is_first = false;
            answered.fetch_add(1, Ordering::SeqCst);
            if end.starts_with("HTTP/1.1 429") {
                return Ok(Fate::Refused);
            }
            if !end.starts_with("HTTP/1.1 200") {
                return Ok(Fate::Broken(end));
            }
        }
        if end.len() > 4_096 {
            end.drain(..end.len() - 1_024);
        }
    }
    sent?;
    Ok(if end.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n") { Fate::Whole } else { Fate::Broken(end) })
}

fn request(authority: &str, body: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a client does that keeps its connection busy for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offence {
    /// It sends the head of a request, a byte now and then.
    SlowHead,
    /// It sends the body of a request, a byte now and then.
    SlowBody,
    /// It sends one request, reads the answer, and stays.
    Idle,
}

/// Offends until the connection is closed by the other side, and returns how long that took.
pub(super) async fn offend(authority: String, offence: Offence) -> std::io::Result<Duration> {
    let mut stream = TcpStream::connect(&authority).await?;
    let mut begun = Instant::now();
    let body = chat_body("quick", "slow", false).to_string();
    let whole = request(&authority, &body);
    let sent = match offence {
        Offence::SlowHead => 20,
        Offence::SlowBody => whole.len() - body.len() + 1,
        Offence::Idle => 0,
    };
    if offence == Offence::Idle {
        stream.write_all(format!("GET /v1/models HTTP/1.1\r\nhost: {authority}\r\n\r\n").as_bytes()).await?;
        let mut buffer = [0; 4_096];
        if stream.read(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        begun = Instant::now();
    } else {
        stream.write_all(&whole.as_bytes()[..sent]).await?;
    }
    let mut next = sent;
    let mut buffer = [0; 1024];
    while begun.elapsed() < LIMIT {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return Ok(begun.elapsed()),
                Ok(_) => {}
            },
            () = tokio::time::sleep(Duration::from_secs(1)), if offence != Offence::Idle => {
                // An error is the end that is waited for, and is read next.
                let _ = stream.write_all(&whole.as_bytes()[next..=next]).await;
                next = (next + 1).min(whole.len() - 2);
            }
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

//! Asks a server over HTTP whether it is ready or healthy.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest answer that is read; the rest says nothing about health.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The longest excerpt of an answer that is shown.
const LONGEST_DETAIL: usize = 200;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    /// It answered 200.
    Healthy,
    /// It answered 503: it is not ready yet.
    Loading {
        /// Its own words.
        detail: String,
    },
    /// Nobody listens there.
    Refused,
    /// It answered badly, or not in time.
    Bad {
        /// What was seen.
        reason: String,
    },
}

/// Asks the server at `address` for `path`, and waits for at most `timeout`.
pub(super) async fn probe(address: SocketAddr, path: &str, timeout: Duration) -> ProbeOutcome {
    match tokio::time::timeout(timeout, ask(address, path)).await {
        Ok(outcome) => outcome,
        Err(_) => ProbeOutcome::Bad { reason: format!("`GET {path}` was not answered within {} s", timeout.as_secs_f32()) },
    }
}

async fn ask(address: SocketAddr, path: &str) -> ProbeOutcome {
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return ProbeOutcome::Refused,
        Err(error) => return ProbeOutcome::Bad { reason: format!("could not connect to {address}: {error}") },
    };
    match exchange(stream, address, path).await {
        Ok((200, _)) => ProbeOutcome::Healthy,
        Ok((503, body)) => ProbeOutcome::Loading { detail: excerpt(&body) },
        Ok((status, body)) => ProbeOutcome::Bad { reason: format!("`GET {path}` answered {status}: {}", excerpt(&body)) },
        Err(error) => ProbeOutcome::Bad { reason: format!("`GET {path}` failed: {error}") },
    }
}

async fn exchange(stream: TcpStream, address: SocketAddr, path: &str) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, address.to_string())
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
        Ok((status, body))
    };
    // The connection is driven beside the exchange and dropped with it.
    tokio::select! {
        answer = answer => answer,
        Err(error) = connection => Err(error.into()),
    }
}

/// Returns the message in an engine's error answer, or the beginning of the answer.
fn excerpt(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|answer| answer.pointer("/error/message").and_then(|message| message.as_str().map(str::to_owned)));
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    text.chars().take(LONGEST_DETAIL).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one connection with these bytes; keeps it open when there are none.
    async fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
        });
        address
    }

    async fn outcome(answer: &'static str) -> ProbeOutcome {
        probe(server(answer).await, "/health", Duration::from_millis(300)).await
    }

    #[tokio::test]
    async fn tells_what_a_server_says() {
        let loading = "HTTP/1.1 503 x\r\ncontent-length: 38\r\n\r\n{\"error\":{\"message\":\"Loading model\"}}  ";
        assert_eq!(outcome("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await, ProbeOutcome::Healthy);
        assert_eq!(outcome(loading).await, ProbeOutcome::Loading { detail: "Loading model".to_owned() });
        let bad = outcome("HTTP/1.1 500 x\r\ncontent-length: 5\r\n\r\nwrong").await;
        assert_eq!(bad, ProbeOutcome::Bad { reason: "`GET /health` answered 500: wrong".to_owned() });
    }

    #[tokio::test]
    async fn silence_nonsense_and_a_closed_door_are_told_apart() {
        assert!(matches!(outcome("").await, ProbeOutcome::Bad { reason } if reason.contains("not answered within")));
        assert!(matches!(outcome("SSH-2.0-x\r\n").await, ProbeOutcome::Bad { reason } if reason.contains("failed")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(probe(address, "/health", Duration::from_secs(1)).await, ProbeOutcome::Refused);
    }
}

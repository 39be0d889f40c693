//! The HTTP probe: what the statuses of a health endpoint mean, and what is asked of an engine that has none.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{ProbeOutcome, not_connected};
use crate::process::output::readable;

/// The longest answer that is read; the rest says nothing about health.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The longest excerpt of an answer that is shown.
const LONGEST_DETAIL: usize = 200;

/// Asks a server over HTTP.
#[derive(Debug, Clone)]
pub(in crate::instance) struct HttpProbe {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// What is asked of an engine that does not know `path`.
    pub(super) fallback_path: String,
}

impl HttpProbe {
    pub(super) async fn ask(&self) -> ProbeOutcome {
        match self.get(&self.path).await {
            Ok((404 | 405 | 501, _)) if self.fallback_path != self.path => match self.get(&self.fallback_path).await {
                Ok((status, body)) => judge(&self.fallback_path, status, &body),
                Err(outcome) => outcome,
            },
            Ok((status, body)) => judge(&self.path, status, &body),
            Err(outcome) => outcome,
        }
    }

    async fn get(&self, path: &str) -> Result<(u16, Bytes), ProbeOutcome> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| not_connected(self.address, &error))?;
        let answer = exchange(stream, self.address, path).await;
        answer.map_err(|error| ProbeOutcome::Bad { reason: format!("`GET {path}` failed: {error}") })
    }
}

fn judge(path: &str, status: u16, body: &[u8]) -> ProbeOutcome {
    let words = excerpt(body);
    match status {
        200..=299 => ProbeOutcome::Healthy,
        503 if !words.is_empty() => ProbeOutcome::Loading { detail: words },
        503 => ProbeOutcome::Loading { detail: format!("`GET {path}` answered 503") },
        _ if words.is_empty() => ProbeOutcome::Bad { reason: format!("`GET {path}` answered {status}") },
        _ => ProbeOutcome::Bad { reason: format!("`GET {path}` answered {status}: {words}") },
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
    let line: String = text.chars().take(LONGEST_DETAIL).map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
    readable(&line)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use super::super::Probe;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const NOT_FOUND: &str = "HTTP/1.1 404 x\r\ncontent-length: 4\r\n\r\nnone";
    const LOADING: &str = "HTTP/1.1 503 x\r\ncontent-length: 38\r\n\r\n{\"error\":{\"message\":\"Loading model\"}}  ";

    /// Answers one connection after the other with these bytes; keeps one open when there are none.
    async fn server(answers: &'static [&'static str]) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let mut paths = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let count = stream.read(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request[..count]).into_owned();
                paths.push(text.split(' ').nth(1).unwrap().to_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
            }
            paths
        });
        (address, asked)
    }

    fn probe(address: SocketAddr) -> Probe {
        Probe::Http(HttpProbe { address, path: "/health".to_owned(), fallback_path: "/v1/models".to_owned() })
    }

    async fn outcome(answers: &'static [&'static str]) -> ProbeOutcome {
        probe(server(answers).await.0).ask(Duration::from_millis(300)).await
    }

    #[tokio::test]
    async fn tells_what_a_server_says() {
        assert_eq!(outcome(&[OK]).await, ProbeOutcome::Healthy);
        assert_eq!(outcome(&["HTTP/1.1 204 x\r\n\r\n"]).await, ProbeOutcome::Healthy);
        assert_eq!(outcome(&[LOADING]).await, ProbeOutcome::Loading { detail: "Loading model".to_owned() });
        let bad = outcome(&["HTTP/1.1 500 x\r\ncontent-length: 5\r\n\r\nwrong"]).await;
        assert_eq!(bad, ProbeOutcome::Bad { reason: "`GET /health` answered 500: wrong".to_owned() });
    }

    #[tokio::test]
    async fn an_engine_without_the_path_is_asked_for_another_one() {
        for missing in
            [&[NOT_FOUND, OK], &["HTTP/1.1 405 x\r\ncontent-length: 0\r\n\r\n", OK], &["HTTP/1.1 501 x\r\ncontent-length: 0\r\n\r\n", OK]]
        {
            let (address, asked) = server(missing).await;
            assert_eq!(probe(address).ask(Duration::from_secs(5)).await, ProbeOutcome::Healthy);
            assert_eq!(asked.await.unwrap(), ["/health", "/v1/models"]);
        }
        assert_eq!(outcome(&[NOT_FOUND, LOADING]).await, ProbeOutcome::Loading { detail: "Loading model".to_owned() });
        let neither = outcome(&[NOT_FOUND, NOT_FOUND]).await;
        assert_eq!(neither, ProbeOutcome::Bad { reason: "`GET /v1/models` answered 404: none".to_owned() });
    }

    #[tokio::test]
    async fn silence_nonsense_and_a_closed_door_are_told_apart() {
        assert!(matches!(outcome(&[""]).await, ProbeOutcome::Bad { reason } if reason == "`GET /health` was not answered within 0.3 s"));
        assert!(matches!(outcome(&["SSH-2.0-x\r\n"]).await, ProbeOutcome::Bad { reason } if reason.contains("failed")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(probe(address).ask(Duration::from_secs(1)).await, ProbeOutcome::Refused);
    }
}

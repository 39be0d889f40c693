//! Where the daemon listens and whom it lets in.

use std::os::unix::fs::PermissionsExt;

use orchestrator_core::error::Coded;
use orchestrator_core::{ErrorCode, Problem};

use super::super::{DaemonError, DaemonFile};
use super::rig::*;
use crate::{Client, ClientError};

#[tokio::test]
async fn the_daemon_answers_on_its_socket_and_on_its_port_and_says_where() {
    let home = Home::new();
    let served = home.serve().await;
    let status = served.client.status().await.unwrap();
    assert_eq!((status.endpoint.as_str(), status.pid), (served.daemon.endpoint(), std::process::id()));
    assert_eq!(served.http.health().await.unwrap().status, "ok");
    let file = DaemonFile::read(&home.paths).unwrap();
    assert_eq!((file.endpoint.as_str(), file.pid), (served.daemon.endpoint(), std::process::id()));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(home.paths.state_dir()), mode(&home.paths.socket())), (0o700, 0o600));
    served.end().await;
}

#[tokio::test]
async fn a_home_deeper_than_a_socket_address_is_served() {
    let home = Home::below(&"deep/".repeat(40));
    let served = home.serve().await;
    assert!(home.paths.socket().as_os_str().len() > 200);
    assert_eq!(served.client.health().await.unwrap().status, "ok");
    served.end().await;
    assert!(!home.paths.socket().exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_anything_else_is_left_alone() {
    let home = Home::new();
    std::fs::create_dir_all(home.paths.state_dir()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.paths.socket()).unwrap());
    home.serve().await.end().await;
    std::fs::write(home.paths.socket(), "precious").unwrap();
    let Err(error) = home.serve_with(|_| {}).await else { panic!("it was replaced") };
    assert_eq!(error.code(), ErrorCode::HomeUnusable);
    assert_eq!(std::fs::read(home.paths.socket()).unwrap(), b"precious");
}

#[tokio::test]
async fn a_configured_port_that_is_taken_is_refused_with_its_holder() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let Err(error) = Home::new().serve_with(|config| config.gateway.port = Some(port)).await else { panic!("it was shared") };
    assert!(
        matches!(&error, DaemonError::PortTaken { holder: Some(holder), .. } if holder.contains(&std::process::id().to_string())),
        "{error}"
    );
    assert_eq!(error.code(), ErrorCode::PortTaken);
}

#[tokio::test]
async fn without_a_configured_port_two_homes_are_served_at_once() {
    let (first, second) = (Home::new(), Home::new());
    let first = first.serve_with(|config| config.gateway.port = None).await.unwrap();
    let second = second.serve_with(|config| config.gateway.port = None).await.unwrap();
    assert_ne!(first.daemon.endpoint(), second.daemon.endpoint());
    assert_eq!(second.http.status().await.unwrap().endpoint, second.daemon.endpoint());
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn a_client_of_nothing_says_so() {
    let home = Home::new();
    let error = Client::unix(home.paths.socket()).health().await.unwrap_err();
    assert!(error.is_unreachable() && error.code() == ErrorCode::DaemonUnreachable, "{error}");
    for url in ["https://localhost", "ftp://x", "localhost:80", "http://", "http://a b", "http://user@host", "http://h/?q"] {
        assert!(matches!(Client::http(url, None), Err(ClientError::Address { .. })), "{url}");
    }
}

#[tokio::test]
async fn forged_requests_are_refused_and_change_nothing() {
    let home = Home::new();
    let name = home.instance("a");
    let served = home.serve().await;
    let host = served.daemon.endpoint().strip_prefix("http://").unwrap().to_owned();
    for forged in [
        "POST /api/v1/shutdown HTTP/1.1\nhost: evil.example\ncontent-length: 0\nconnection: close\n\n".to_owned(),
        format!("POST /api/v1/shutdown HTTP/1.1\nhost: {host}\norigin: https://evil.example\ncontent-length: 0\nconnection: close\n\n"),
        format!("POST /api/v1/shutdown HTTP/1.1\nhost: {host}\nsec-fetch-site: cross-site\ncontent-length: 0\nconnection: close\n\n"),
        format!(
            "POST /api/v1/shutdown HTTP/1.1\nhost: {host}\norigin: http://{host}\ncontent-type: text/plain\ncontent-length: 2\nconnection: close\n\n{{}}"
        ),
        format!("POST /api/v1/instances/{name}/up HTTP/1.1\nhost: {host}\norigin: null\nconnection: close\n\n"),
        format!("OPTIONS /api/v1/shutdown HTTP/1.1\nhost: {host}\norigin: https://evil.example\nconnection: close\n\n"),
        "POST /api/v1/shutdown HTTP/1.1\nconnection: close\n\n".to_owned(),
        "POST /api/v1/shutdown HTTP/1.0\n\n".to_owned(),
    ] {
        let answer = served.raw(&forged).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") || answer.starts_with("HTTP/1.0 403 "), "{forged}{answer}");
        assert!(answer.contains("application/problem+json") && answer.contains("request.forbidden"), "{answer}");
        assert!(!answer.contains("access-control-allow"), "{answer}");
    }
    let chat = served
        .raw(&format!(
            "POST /v1/chat/completions HTTP/1.1\nhost: {host}\ncontent-type: text/plain\ncontent-length: 2\nconnection: close\n\n{{}}"
        ))
        .await;
    assert!(chat.starts_with("HTTP/1.1 415 ") && chat.contains("\"invalid_request_error\""), "{chat}");
    assert_eq!(served.client.describe(&name).await.unwrap().state.name(), "stopped");
    assert_eq!(served.client.health().await.unwrap().status, "ok");
    served.end().await;
}

#[tokio::test]
async fn beyond_loopback_the_key_is_demanded() {
    let home = Home::new();
    let served = home.serve_with(|config| config.gateway.host = "0.0.0.0".parse().unwrap()).await.unwrap();
    let refused = served.http.health().await.unwrap_err();
    assert!(matches!(&refused, ClientError::Problem(Problem { status: 401, .. })), "{refused:?}");
    let key = std::fs::read_to_string(home.paths.api_key_file()).unwrap();
    let client = Client::http(served.daemon.endpoint(), Some(&key)).unwrap();
    assert_eq!(client.health().await.unwrap().status, "ok");
    assert!(!format!("{client:?}").contains(key.trim()));
    // Whoever can open the socket owns the home.
    assert_eq!(served.client.health().await.unwrap().status, "ok");
    served.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_let_go() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let home = Home::new();
    let served = home.serve_the_quick().await;
    let mut slow = served.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, slow.read_to_end(&mut rest)).await.unwrap().unwrap();
    served.end().await;
}

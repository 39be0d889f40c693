//! Every kind of forged, rebound and careless request, and the honest ones beside them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::net::SocketAddr;

use http::Request;

use super::*;

const PORT: u16 = 8484;

fn config() -> GatewayConfig {
    GatewayConfig {
        allowed_hosts: vec!["models.example.com".to_owned(), "tunnel.example.com:9000".to_owned()],
        allowed_origins: vec!["https://chat.example.com".to_owned()],
        ..GatewayConfig::default()
    }
}

type Headers<'a> = &'a [(&'a str, &'a str)];

fn head(method: &str, target: &str, headers: Headers<'_>) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

fn check_on(local: &str, key: Option<ApiKey>, method: &str, target: &str, headers: Headers<'_>) -> Result<Admitted, Refusal> {
    let local: SocketAddr = local.parse().unwrap();
    Guard::new(&config(), PORT, key).check(&head(method, target, headers), local)
}

fn check(method: &str, target: &str, headers: Headers<'_>) -> Result<Admitted, Refusal> {
    check_on("127.0.0.1:8484", None, method, target, headers)
}

const CHAT: &str = "/v1/chat/completions";
const HOST: (&str, &str) = ("host", "localhost:8484");
const JSON: (&str, &str) = ("content-type", "application/json");
const BODY: (&str, &str) = ("content-length", "10");
const OWN_PAGE: (&str, &str) = ("origin", "http://localhost:8484");

#[test]
fn forged_requests_are_refused_with_403() {
    let kinds: &[(&str, &str, Headers<'_>)] = &[
        // DNS rebinding and bad hosts
        ("GET", "/v1/models", &[]),
        ("GET", "/v1/models", &[("host", "")]),
        ("GET", "/v1/models", &[("host", "evil.example")]),
        ("GET", "/v1/models", &[("host", "evil.example:8484")]),
        ("GET", "/v1/models", &[("host", "localhost:9999")]),
        ("GET", "/v1/models", &[("host", "localhost:")]),
        ("GET", "/v1/models", &[("host", "localhost:8484:8484")]),
        ("GET", "/v1/models", &[("host", "localhost:99999999")]),
        ("GET", "/v1/models", &[("host", "localhost.evil.example:8484")]),
        ("GET", "/v1/models", &[("host", "localhost.:8484")]),
        ("GET", "/v1/models", &[("host", "user@localhost:8484")]),
        ("GET", "/v1/models", &[("host", "localhost:8484/path")]),
        ("GET", "/v1/models", &[("host", "127.0.0.1.nip.io")]),
        ("GET", "/v1/models", &[("host", "127.0.0.2")]),
        ("GET", "/v1/models", &[("host", "2130706433")]),
        ("GET", "/v1/models", &[("host", "0.0.0.0:8484")]),
        ("GET", "/v1/models", &[("host", "[::]:8484")]),
        ("GET", "/v1/models", &[("host", "192.168.1.5:8484")]),
        ("GET", "/v1/models", &[("host", "models.example.com:1")]),
        ("GET", "/v1/models", &[("host", "tunnel.example.com:9001")]),
        ("GET", "/v1/models", &[("host", "sub.models.example.com")]),
        ("GET", "/v1/models", &[("host", "local\u{e9}host")]),
        ("GET", "/v1/models", &[HOST, ("host", "evil.example")]),
        ("GET", "http://evil.example/v1/models", &[HOST]),
        ("GET", "http://localhost:8484/v1/models", &[("host", "evil.example")]),
        ("GET", "/health", &[("host", "evil.example")]),
        ("GET", "/", &[("host", "evil.example")]),
        // CSRF
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "https://evil.example")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "null")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "http://localhost:3000")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "http://localhost")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "http://127.0.0.1:8484")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "file://localhost:8484")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "http://localhost:8484@evil.example")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "http://localhost:8484.evil.example")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "http://chat.example.com")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "https://chat.example.com:444")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "https://chat.example.com"), ("origin", "https://evil.example")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("sec-fetch-site", "cross-site")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("sec-fetch-site", "same-site")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("sec-fetch-site", "Same-Origin")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]),
        ("POST", "/api/v1/instances/a/down", &[HOST, ("origin", "https://evil.example")]),
        ("POST", "/api/v1/instances/a/down", &[HOST, ("sec-fetch-site", "cross-site")]),
        ("POST", "/api/v1/shutdown", &[HOST, JSON, BODY, ("origin", "https://evil.example")]),
        ("DELETE", "/api/v1/instances/a", &[HOST, ("origin", "https://evil.example")]),
        ("PUT", "/anything", &[HOST, JSON, BODY, ("sec-fetch-site", "cross-site")]),
        ("PATCH", "/anything", &[HOST, JSON, BODY, ("origin", "https://evil.example")]),
        ("POST", "/", &[HOST, JSON, BODY, ("sec-fetch-site", "cross-site")]),
        // reading across origins
        ("GET", "/v1/models", &[HOST, ("origin", "https://evil.example")]),
        ("GET", "/v1/models", &[HOST, ("sec-fetch-site", "cross-site")]),
        ("GET", "/api/v1/events", &[HOST, ("sec-fetch-site", "same-site")]),
        ("HEAD", "/api/v1/status", &[HOST, ("sec-fetch-site", "cross-site")]),
        // bodies that a plain form can send
        ("POST", CHAT, &[HOST, BODY, OWN_PAGE]),
        ("POST", CHAT, &[HOST, ("transfer-encoding", "chunked"), OWN_PAGE]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "text/plain"), OWN_PAGE]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "text/plain"), ("sec-fetch-site", "none")]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "text/plain"), ("sec-fetch-mode", "navigate")]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "text/plain; application/json"), OWN_PAGE]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "application/x-www-form-urlencoded"), OWN_PAGE]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "multipart/form-data; boundary=x"), OWN_PAGE]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "application/jsonx"), OWN_PAGE]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", ""), OWN_PAGE]),
        ("POST", CHAT, &[HOST, BODY, JSON, ("content-type", "text/plain"), OWN_PAGE]),
        ("POST", "/api/v1/instances/a/up", &[HOST, ("content-type", "text/plain"), OWN_PAGE]),
        // preflight
        ("OPTIONS", CHAT, &[HOST]),
        ("OPTIONS", "*", &[HOST]),
        ("OPTIONS", CHAT, &[HOST, ("origin", "https://evil.example"), ("access-control-request-method", "POST")]),
        ("OPTIONS", CHAT, &[HOST, ("origin", "null"), ("access-control-request-method", "POST")]),
        ("OPTIONS", CHAT, &[("host", "evil.example"), ("origin", "http://evil.example")]),
    ];
    assert!(kinds.len() >= 40);
    for (method, target, headers) in kinds {
        match check(method, target, headers) {
            Err(refusal) => {
                let problem = refusal.into_problem();
                assert_eq!((problem.status, problem.code), (403, ErrorCode::Forbidden), "{method} {target} {headers:?}");
                assert!(problem.hint.is_some());
            }
            Ok(admitted) => panic!("let in: {method} {target} {headers:?}: {admitted:?}"),
        }
    }
}

#[test]
fn a_program_that_sends_no_json_is_told_so_with_415() {
    let kinds: &[Headers<'_>] = &[
        &[HOST, BODY],
        &[HOST, ("transfer-encoding", "chunked")],
        &[HOST, BODY, ("content-type", "text/plain")],
        &[HOST, BODY, ("content-type", "application/x-www-form-urlencoded")],
        &[HOST, BODY, ("content-type", "application/jsonx")],
        &[HOST, BODY, ("content-type", "")],
        &[HOST, BODY, JSON, ("content-type", "text/plain")],
    ];
    for headers in kinds {
        let problem = check("POST", CHAT, headers).unwrap_err().into_problem();
        assert_eq!((problem.status, problem.code), (415, ErrorCode::RequestInvalid), "{headers:?}");
        assert!(problem.hint.is_some_and(|hint| hint.contains("application/json")));
    }
}

#[test]
fn honest_requests_are_let_in() {
    let kinds: &[(&str, &str, Headers<'_>)] = &[
        ("GET", "/v1/models", &[HOST]),
        ("GET", "/v1/models", &[("host", "localhost")]),
        ("GET", "/v1/models", &[("host", "LOCALHOST:8484")]),
        ("GET", "/v1/models", &[("host", "127.0.0.1:8484")]),
        ("GET", "/v1/models", &[("host", "[::1]:8484")]),
        ("GET", "/v1/models", &[("host", "[::1]")]),
        ("GET", "/v1/models", &[("host", "models.example.com")]),
        ("GET", "/v1/models", &[("host", "models.example.com:8484")]),
        ("GET", "/v1/models", &[("host", "tunnel.example.com:9000")]),
        ("GET", "http://localhost:8484/v1/models", &[HOST]),
        ("GET", "/v1/models", &[HOST, ("sec-fetch-site", "none")]),
        ("GET", "/v1/models", &[HOST, ("sec-fetch-site", "same-origin")]),
        ("GET", "/", &[HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]),
        ("POST", CHAT, &[HOST, JSON, BODY]),
        ("POST", CHAT, &[HOST, BODY, ("content-type", "Application/JSON; charset=utf-8")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("authorization", "Bearer sk-anything")]),
        ("POST", CHAT, &[HOST, JSON, BODY, ("origin", "http://localhost:8484"), ("sec-fetch-site", "same-origin")]),
        ("POST", CHAT, &[("host", "models.example.com"), JSON, BODY, ("origin", "https://models.example.com")]),
        ("POST", "/api/v1/instances/a/up", &[HOST]),
        ("POST", "/api/v1/instances/a/up", &[HOST, ("content-length", "0")]),
        ("DELETE", "/api/v1/instances/a", &[HOST]),
    ];
    for (method, target, headers) in kinds {
        assert_eq!(check(method, target, headers), Ok(Admitted::Request { origin: None }), "{method} {target} {headers:?}");
    }
}

#[test]
fn an_allowed_origin_may_send_and_read() {
    let origin = HeaderValue::from_static("https://chat.example.com");
    let page = ("origin", "https://chat.example.com");
    let sent = check("POST", CHAT, &[HOST, JSON, BODY, page, ("sec-fetch-site", "cross-site")]);
    assert_eq!(sent, Ok(Admitted::Request { origin: Some(origin.clone()) }));
    let asked = check("OPTIONS", CHAT, &[HOST, page, ("access-control-request-method", "POST"), ("sec-fetch-site", "cross-site")]);
    assert_eq!(asked, Ok(Admitted::Preflight { origin: origin.clone() }));
    let mut headers = HeaderMap::new();
    allow_sending(&mut headers, origin);
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://chat.example.com");
    assert_eq!(headers[header::VARY], "Origin");
    // It may not send what a form could.
    assert!(check("POST", CHAT, &[HOST, BODY, page, ("content-type", "text/plain")]).is_err());
}

#[test]
fn the_address_that_was_reached_is_a_name_of_ours() {
    let on = |local: &str, host: &str| check_on(local, None, "GET", "/v1/models", &[("host", host)]).is_ok();
    assert!(on("192.168.1.5:8484", "192.168.1.5:8484"));
    assert!(on("[fd00::1]:8484", "[fd00::1]:8484"));
    assert!(on("[::ffff:192.168.1.5]:8484", "192.168.1.5:8484"));
    assert!(!on("192.168.1.5:8484", "192.168.1.6:8484"));
    assert!(!on("192.168.1.5:8484", "evil.example:8484"));
}

#[test]
fn beyond_loopback_every_request_needs_the_key() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("api-key");
    std::fs::write(&path, "0123456789abcdef-the-key").unwrap();
    let check = |headers: Headers<'_>| {
        let headers: Vec<_> = [HOST].iter().chain(headers).copied().collect();
        check_on("127.0.0.1:8484", Some(ApiKey::load_or_create(&path).unwrap()), "GET", "/v1/models", &headers)
    };
    for value in ["Bearer 0123456789abcdef-the-key", "bearer 0123456789abcdef-the-key ", "BEARER  0123456789abcdef-the-key"] {
        assert!(check(&[("authorization", value)]).is_ok(), "{value}");
    }
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcdef-the-ke",
        "Bearer 0123456789abcdef-the-key1",
        "Basic 0123456789abcdef-the-key",
        "0123456789abcdef-the-key",
    ] {
        let problem = check(&[("authorization", value)]).unwrap_err().into_problem();
        assert_eq!((problem.status, problem.code), (401, ErrorCode::Forbidden), "{value}");
        assert!(!problem.to_string().contains("the-key"));
    }
    assert_eq!(check(&[]), Err(Refusal::Key { is_missing: true }));
}

#[test]
fn a_refusal_shows_no_control_characters_and_no_novels() {
    let long = format!("evil{}", "x".repeat(5_000));
    let problem = check("GET", "/v1/models", &[("host", &long)]).unwrap_err().into_problem();
    assert!(problem.title.len() < 300);
    let problem = check("POST", CHAT, &[HOST, JSON, ("origin", "http://\u{9b}31m\t")]).unwrap_err().into_problem();
    assert!(!problem.title.chars().any(char::is_control), "{problem}");
}

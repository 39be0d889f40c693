#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

use super::*;

fn url() -> Url {
    Url::parse("https://hub.example/file?signature=canary").unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    pairs.iter().map(pair).collect()
}

const ASKED: ByteRange = ByteRange { start: 100, end: 200 };

fn judge(status: u16, pairs: &[(&str, &str)]) -> Result<Content, DownloadError> {
    content(&url(), Some(ASKED), StatusCode::from_u16(status).unwrap(), &headers(pairs))
}

#[test]
fn a_content_range_is_read_or_refused() {
    let part = |start, end, total| Some(ContentRange::Part { range: ByteRange { start, end }, total });
    for (text, expected) in [
        ("bytes 0-0/1", part(0, 1, Some(1))),
        ("bytes 100-199/1000", part(100, 200, Some(1000))),
        ("Bytes 100-199/*", part(100, 200, None)),
        ("bytes */1000", Some(ContentRange::Unsatisfied { total: 1000 })),
        ("bytes */*", None),
        ("bytes 5-4/10", None),
        ("bytes 0-10/10", None),
        ("bytes 0-18446744073709551615/*", None),
        ("bytes 0-99999999999999999999/*", None),
        ("bytes +0-1/10", None),
        ("bytes -1/10", None),
        ("lines 0-1/10", None),
        ("bytes=0-1/10", None),
        ("", None),
    ] {
        assert_eq!(ContentRange::parse(text), expected, "{text}");
    }
}

#[test]
fn only_exactly_what_was_asked_for_is_taken() {
    assert_eq!(judge(206, &[("content-range", "bytes 100-199/1000")]).unwrap(), Content::Part { range: ASKED, total: 1000 });
    let end = Content::Part { range: ByteRange { start: 100, end: 150 }, total: 150 };
    assert_eq!(judge(206, &[("content-range", "bytes 100-149/150"), ("content-length", "50")]).unwrap(), end);
    for pairs in [
        &[("content-range", "bytes 101-200/1000")][..],
        &[("content-range", "bytes 0-99/1000")],
        &[("content-range", "bytes 100-198/1000")],
        &[("content-range", "bytes 100-299/1000")],
        &[("content-range", "bytes 100-199/*")],
        &[("content-range", "nonsense")],
        &[("content-range", "bytes 100-199/1000"), ("content-length", "101")],
        &[],
    ] {
        assert!(matches!(judge(206, pairs), Err(DownloadError::RangeMismatch { .. })), "{pairs:?}");
    }
}

#[test]
fn a_whole_file_is_seen_as_one() {
    assert_eq!(judge(200, &[("content-length", "7")]).unwrap(), Content::Whole { total: Some(7) });
    assert_eq!(judge(200, &[]).unwrap(), Content::Whole { total: None });
    assert_eq!(judge(416, &[("content-range", "bytes */0")]).unwrap(), Content::Whole { total: Some(0) });
    assert!(matches!(judge(416, &[("content-range", "bytes */50")]), Err(DownloadError::RangeMismatch { .. })));
    assert!(matches!(judge(204, &[]), Err(DownloadError::Status { status: 204, .. })));
}

#[test]
fn packed_and_split_bodies_are_refused() {
    for pairs in [
        &[("content-encoding", "gzip")][..],
        &[("content-encoding", "identity, br")],
        &[("content-type", "multipart/byteranges; boundary=x")],
        &[("content-type", "Multipart/ByteRanges; boundary=x")],
    ] {
        let pairs = [pairs, &[("content-range", "bytes 100-199/1000")]].concat();
        assert!(matches!(judge(206, &pairs), Err(DownloadError::Encoding { .. })), "{pairs:?}");
    }
    assert!(judge(206, &[("content-encoding", "identity"), ("content-range", "bytes 100-199/1000")]).is_ok());
}

#[test]
fn a_refusal_says_what_the_host_says_and_no_secret() {
    let page = refusal(&url(), StatusCode::NOT_FOUND, &headers(&[("content-type", "text/html")]), b"<html>");
    assert_eq!(page.to_string(), "`https://hub.example/file` answered 404");
    let words = headers(&[("x-error-message", "Access to model a/b is restricted")]);
    let denied = refusal(&url(), StatusCode::FORBIDDEN, &words, b"");
    assert_eq!(denied.to_string(), "`https://hub.example/file` answered 403: Access to model a/b is restricted");
    let painted = refusal(&url(), StatusCode::BAD_GATEWAY, &headers(&[("content-type", "text/plain")]), b"\x1b[31mred\r\n\"x\"");
    assert_eq!(painted.to_string(), "`https://hub.example/file` answered 502: \\u{1b}[31mred\\r\\n\"x\"");
    let busy = refusal(&url(), StatusCode::TOO_MANY_REQUESTS, &headers(&[("retry-after", "7")]), b"");
    assert!(matches!(busy, DownloadError::RateLimited { retry_after: Some(wait), .. } if wait == Duration::from_secs(7)));
}

#[test]
fn tags_are_compared_without_quotes() {
    assert_eq!(etag(&headers(&[("etag", "\"abc\"")])).as_deref(), Some("abc"));
    assert_eq!(etag(&headers(&[("etag", "W/\"abc\"")])).as_deref(), Some("abc"));
    assert_eq!(etag(&headers(&[("etag", "\"\"")])), None);
    let mut hub = HubHeaders::default();
    hub.take_from(&headers(&[("x-linked-etag", "\"sha\""), ("x-linked-size", "12"), ("x-repo-commit", "c0ffee")]));
    hub.take_from(&headers(&[("x-linked-etag", "\"other\"")]));
    assert_eq!(hub, HubHeaders { etag: Some("sha".to_owned()), size: Some(12), commit: Some("c0ffee".to_owned()) });
}

proptest! {
    #[test]
    fn no_content_range_breaks_the_reader(text in "\\PC*") {
        let _ = ContentRange::parse(&text);
    }

    #[test]
    fn what_is_read_is_never_empty_or_outside(start in any::<u64>(), last in any::<u64>(), total in any::<u64>()) {
        if let Some(ContentRange::Part { range, total: Some(total) }) = ContentRange::parse(&format!("bytes {start}-{last}/{total}")) {
            prop_assert!(range.start < range.end && range.end <= total);
        }
    }
}

//! What comes from a lying, broken or slow source is never taken for a file, nobody else hears our token, and it ends.

use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use super::*;
use server::{Ask, Reply};

/// The time after which anything here is over.
const BOUND: Duration = Duration::from_secs(20);

type Distort = fn(Reply, &Ask, &[u8]) -> Reply;

/// Fetches from a server that distorts every answer, or every answer after the first, and checks that nothing is left.
async fn fails(distort: Distort, from: usize, expected: fn(&DownloadError) -> bool) {
    let data = content(2 * MIB);
    let origin = Origin::start({
        let data = Arc::clone(&data);
        move |ask| {
            let reply = Reply::file(ask, &data, "tag");
            if ask.number >= from { distort(reply, ask, &data) } else { reply }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let error = fetch(&origin, &promised(&origin, "file", &data), folder.path()).await.unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert!(!target_in(folder.path()).path.exists());
}

/// Fetches from a server that distorts some answers, and checks that the file is right in the end.
async fn recovers(distort: Distort, when: fn(usize) -> bool) {
    let data = content(4 * MIB);
    let origin = Origin::start({
        let data = Arc::clone(&data);
        move |ask| {
            let reply = Reply::file(ask, &data, "tag");
            if when(ask.number) { distort(reply, ask, &data) } else { reply }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    fetch(&origin, &promised(&origin, "file", &data), folder.path()).await.unwrap();
    assert!(read(folder.path()) == *data);
    assert_eq!(left_in(folder.path()), ["file"]);
}

fn shift(reply: Reply, ask: &Ask, data: &[u8]) -> Reply {
    // As one stream the file is right.
    let Some(range) = ask.range() else { return reply };
    let start = range.start + 1;
    let end = (start + reply.body.len()).min(data.len());
    reply.without("Content-Range").with("Content-Range", format!("bytes {start}-{}/{}", end - 1, data.len()))
}

fn whole(_: Reply, _: &Ask, data: &[u8]) -> Reply {
    Reply::new(200, data).with("ETag", "\"tag\"")
}

fn cut(reply: Reply, _: &Ask, _: &[u8]) -> Reply {
    Reply { cut: Some(reply.body.len() / 2), ..reply }
}

fn long(mut reply: Reply, _: &Ask, _: &[u8]) -> Reply {
    reply.body.extend_from_slice(b"more");
    Reply { chunked: true, ..reply }
}

fn packed(reply: Reply, _: &Ask, _: &[u8]) -> Reply {
    reply.with("Content-Encoding", "gzip")
}

fn multipart(reply: Reply, _: &Ask, _: &[u8]) -> Reply {
    reply.with("Content-Type", "multipart/byteranges; boundary=x")
}

fn drip(reply: Reply, _: &Ask, _: &[u8]) -> Reply {
    Reply { drip: Some(Duration::from_millis(50)), ..reply }
}

fn silent(reply: Reply, _: &Ask, _: &[u8]) -> Reply {
    Reply { delay: Some(Duration::from_mins(1)), ..reply }
}

fn busy(_: Reply, _: &Ask, _: &[u8]) -> Reply {
    Reply::new(429, "slow down").with("Retry-After", "86400")
}

fn broken(_: Reply, _: &Ask, _: &[u8]) -> Reply {
    Reply::new(502, "<html>")
}

fn flipped(mut reply: Reply, ask: &Ask, _: &[u8]) -> Reply {
    if ask.range().is_some_and(|range| range.start > 0) {
        reply.body[5] ^= 1;
    }
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found_and_nothing_is_left() {
    fails(flipped, 0, |error| matches!(error, DownloadError::DigestMismatch { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_http_does_not_allow_are_refused() {
    fails(packed, 0, |error| matches!(error, DownloadError::Encoding { .. })).await;
    fails(packed, 1, |error| matches!(error, DownloadError::Encoding { .. })).await;
    fails(multipart, 1, |error| matches!(error, DownloadError::Encoding { .. })).await;
    // First as ranges, then as one stream.
    fails(long, 0, |error| matches!(error, DownloadError::LengthMismatch { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn some_wrong_answers_are_borne() {
    recovers(shift, |number| number == 2).await;
    recovers(long, |number| number == 2).await;
    recovers(cut, |number| number.is_multiple_of(2)).await;
    recovers(broken, |number| number % 4 == 1).await;
    recovers(busy, |number| number == 1 || number == 3).await;
    recovers(silent, |number| number == 3).await;
    recovers(drip, |number| number == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_forgets_how_to_serve_ranges_is_read_as_one_stream() {
    recovers(whole, |number| number >= 2).await;
    recovers(shift, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_nothing_useful_is_given_up() {
    fails(drip, 0, |error| matches!(error, DownloadError::Stalled { .. })).await;
    fails(silent, 0, |error| matches!(error, DownloadError::Stalled { .. })).await;
    fails(busy, 0, |error| matches!(error, DownloadError::RateLimited { .. })).await;
    fails(broken, 0, |error| matches!(error, DownloadError::Status { status: 502, .. })).await;
    fails(|reply, _, _| Reply { cut: Some(0), ..reply }, 0, |error| matches!(error, DownloadError::Interrupted { .. })).await;
    fails(|_, _, _| Reply::new(404, "no"), 0, |error| error.status() == Some(404)).await;
    fails(|_, _, _| Reply::new(401, "who?"), 1, |error| error.status() == Some(401)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_that_lead_astray_are_not_followed() {
    let refused = |error: &DownloadError| matches!(error, DownloadError::RedirectRefused { .. });
    fails(|_, _, _| Reply::redirect("http://169.254.169.254/latest/meta-data"), 0, refused).await;
    fails(|_, _, _| Reply::redirect("http://10.0.0.1/"), 1, refused).await;
    fails(|_, _, _| Reply::redirect("file:///etc/passwd"), 0, refused).await;
    fails(|_, ask, _| Reply::redirect(ask.path.clone()), 0, refused).await;
    fails(|_, ask, _| Reply::redirect(format!("/{}", ask.number)), 0, refused).await;
    fails(|_, _, _| Reply::new(302, ""), 0, refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resolves_to_this_machine_is_not_asked_for_a_source_elsewhere() {
    let origin = Origin::serving(content(10));
    let client = HttpClient::try_new(&HttpSettings { endpoints: vec![parse("https://hub.example")], ..HttpSettings::default() }).unwrap();
    let url = parse(&format!("http://localhost:{}/file", origin.url("").port().unwrap()));
    let error = client.get_small(&RemoteRequest::new(url), 100).await.unwrap_err();
    assert!(matches!(error, DownloadError::AddressRefused { .. }), "{error:?}");
    let error = client.get_small(&RemoteRequest::new(origin.url("file")), 100).await.unwrap_err();
    assert!(matches!(error, DownloadError::AddressRefused { .. }), "{error:?}");
    assert!(origin.asks().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_under_way_begins_anew_or_fails_clearly() {
    let (old, new) = (content(8 * MIB), Arc::new(content(8 * MIB).iter().map(|byte| !byte).collect::<Vec<u8>>()));
    for is_promised in [false, true] {
        let answers = Arc::new(AtomicUsize::new(0));
        let origin = Origin::start({
            let (old, new) = (Arc::clone(&old), Arc::clone(&new));
            move |ask| {
                let is_new = answers.fetch_add(1, Ordering::Relaxed) >= 3;
                if is_new { Reply::file(ask, &new, "new") } else { Reply::file(ask, &old, "old") }
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let file = if is_promised { promised(&origin, "file", &old) } else { unknown(&origin, "file") };
        let fetched = fetch(&origin, &file, folder.path()).await;
        if is_promised {
            assert!(matches!(fetched, Err(DownloadError::EtagChanged { .. })), "{fetched:?}");
            assert!(!target_in(folder.path()).path.exists());
        } else {
            fetched.unwrap();
            assert!(read(folder.path()) == *new);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_answers_with_a_page_is_not_taken_for_a_file() {
    let data = content(MIB);
    let origin = Origin::start(|_| Reply::new(200, "<html>please pay</html>").with("Content-Type", "text/html"));
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&origin, &promised(&origin, "file", &data), folder.path()).await.unwrap_err();
    assert!(matches!(error, DownloadError::LengthMismatch { .. }), "{error}");
    assert!(left_in(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_length_costs_nothing() {
    for (total, is_absurd) in [(u64::MAX, true), (1 << 42, false)] {
        let origin = Origin::start(move |ask| {
            let range = ask.range().unwrap();
            let part = format!("bytes {}-{}/{total}", range.start, range.end - 1);
            Reply::new(206, vec![0; range.len()]).with("Content-Range", part).with("ETag", "\"tag\"")
        });
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(&origin, &unknown(&origin, "file"), folder.path()).await.unwrap_err();
        let expected =
            if is_absurd { matches!(error, DownloadError::TooLarge { .. }) } else { matches!(error, DownloadError::NoSpace { .. }) };
        assert!(expected, "{error:?}");
        assert_eq!(origin.asks().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_begins_anew_and_ends_at_some_time() {
    let data = content(MIB);
    let serve = |good_from: usize| {
        let data = Arc::clone(&data);
        Origin::start(move |ask| {
            let cut = (ask.number < good_from).then_some(data.len() / 3);
            Reply { cut, ..Reply::new(200, data.as_slice()) }
        })
    };
    let origin = serve(2);
    let folder = tempfile::tempdir().unwrap();
    fetch(&origin, &promised(&origin, "file", &data), folder.path()).await.unwrap();
    assert!(read(folder.path()) == *data);
    let origin = serve(usize::MAX);
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&origin, &promised(&origin, "file", &data), folder.path()).await.unwrap_err();
    assert!(matches!(error, DownloadError::Interrupted { .. }), "{error}");
    assert!(left_in(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_home_is_told_as_that() {
    let origin = Origin::serving(content(1));
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let file =
        RemoteFile { request: RemoteRequest::new(parse(&format!("http://{gone}/file?signature=canary"))), ..unknown(&origin, "file") };
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&origin, &file, folder.path()).await.unwrap_err();
    assert!(matches!(error, DownloadError::Offline { .. }), "{error:?}");
    assert!(!format!("{error:?}{error}").contains("canary"), "{error:?}");
}

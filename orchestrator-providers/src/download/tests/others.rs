//! Small answers, cancellation, remote reads.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Instant;

use super::*;
use server::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn small_answers_have_a_limit_and_any_status() {
    let origin = Origin::start(|ask| match ask.path.as_str() {
        "/json" => Reply::new(200, "{}").with("Content-Type", "application/json"),
        "/moved" => Reply::redirect("/json"),
        "/missing" => Reply::new(404, "no such model").with("Content-Type", "text/plain"),
        "/endless" => Reply { chunked: true, ..Reply::new(200, vec![b'x'; 200_000]) },
        _ => Reply { delay: Some(Duration::from_mins(1)), ..Reply::new(200, "") },
    });
    let client = client_for(&origin);
    let ask = |path: &str| RemoteRequest::new(origin.url(path)).with_token(Some("canary")).with_accept("application/json");
    let moved = client.get_small(&ask("moved"), 100).await.unwrap().successful().unwrap();
    assert_eq!((moved.bytes.as_ref(), moved.url.path()), (&b"{}"[..], "/json"));
    assert!(origin.asks().iter().all(|ask| ask.headers["accept"] == "application/json" && ask.headers["authorization"] == "Bearer canary"));
    let missing = client.get_small(&ask("missing"), 100).await.unwrap();
    assert_eq!(missing.status.as_u16(), 404);
    assert!(missing.successful().unwrap_err().to_string().contains("no such model"));
    assert!(matches!(client.get_small(&ask("endless"), 1000).await, Err(DownloadError::TooLarge { limit: 1000, .. })));
    let begun = Instant::now();
    assert!(matches!(client.get_small(&ask("silent"), 100).await, Err(DownloadError::Stalled { .. })));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_download_ends_at_once_wherever_it_is() {
    let data = content(MIB);
    let origin = Origin::start({
        let data = Arc::clone(&data);
        move |ask| match ask.path.as_str() {
            "/silent" => Reply { delay: Some(Duration::from_mins(1)), ..Reply::new(200, "") },
            "/busy" => Reply::new(503, "").with("Retry-After", "60"),
            _ => Reply { drip: Some(Duration::from_millis(20)), ..Reply::file(ask, &data, "tag") },
        }
    });
    let client = client_for(&origin);
    let patient = DownloadSettings { longest_pause: Duration::from_mins(1), stall_bytes: 0, ..quick() };
    let downloader = Downloader::new(client, patient);
    for path in ["silent", "busy", "drip"] {
        let folder = tempfile::tempdir().unwrap();
        let watcher = Watcher::default();
        let asked = origin.asks().len();
        let (file, target) = (unknown(&origin, path), target_in(folder.path()));
        let fetching = downloader.fetch(&file, &target, &watcher, &watcher.cancel);
        let cancelling = async {
            while origin.asks().len() == asked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            watcher.cancel.cancel();
            Instant::now()
        };
        let (ended, cancelled) = tokio::join!(fetching, cancelling);
        assert!(matches!(ended, Err(DownloadError::Cancelled)), "{path}: {ended:?}");
        assert!(cancelled.elapsed() < Duration::from_secs(1), "{path}");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_at_its_source_part_by_part() {
    let data = content(64 * MIB);
    let storage = Arc::new(Origin::serving(Arc::clone(&data)));
    let hub = Origin::start({
        let storage = storage.url("signed");
        move |_| Reply::redirect(storage.as_str())
    });
    let mut reader = downloader_for(&hub).open_remote(&promised(&hub, "file", &data), tokio::runtime::Handle::current());
    let expected = Arc::clone(&data);
    blocking(move || {
        assert_eq!(reader.size_bytes().unwrap(), expected.len() as u64);
        let mut start = vec![0; 100_000];
        reader.read_exact(&mut start).unwrap();
        assert!(start == expected[..100_000]);
        reader.seek(SeekFrom::End(-10)).unwrap();
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert!(end == expected[expected.len() - 10..]);
        reader.seek(SeekFrom::Start(5)).unwrap();
        let mut again = [0; 10];
        reader.read_exact(&mut again).unwrap();
        assert!(again == expected[5..15]);
        assert!(reader.seek(SeekFrom::Current(-100)).is_err());
    })
    .await;
    assert_eq!((hub.asks().len(), storage.asks().len()), (1, 2), "what was read is kept");
    assert!(storage.sent() < 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_us_read_without_end() {
    let data = content(8 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let downloader = Downloader::new(client_for(&origin), DownloadSettings { most_header_bytes: 2 << 20, ..quick() });
    let mut reader = downloader.open_remote(&unknown(&origin, "file"), tokio::runtime::Handle::current());
    let error = blocking(move || reader.read_to_end(&mut Vec::new()).unwrap_err()).await;
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    assert!(origin.sent() <= 2 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_in_parts_is_not_read_at_all() {
    let origin = Origin::start(|_| Reply::new(200, vec![0; 1 << 20]));
    let mut reader = downloader_for(&origin).open_remote(&unknown(&origin, "file"), tokio::runtime::Handle::current());
    blocking(move || assert!(reader.read(&mut [0; 10]).is_err())).await;
}

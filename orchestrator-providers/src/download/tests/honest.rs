//! What comes from an honest source is whole, right, and fetched once.

use super::*;
use crate::download::blocks::BLOCK_BYTES;
use server::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_length_arrive_whole() {
    let block = usize::try_from(BLOCK_BYTES).unwrap();
    for length in [0, 1, 2, 1000, block - 1, block, block + 1, 3 * block, 3 * block + 1, 9 * block + 5, 5 * MIB + 77] {
        let data = content(length);
        let origin = Origin::serving(Arc::clone(&data));
        for file in [promised(&origin, "file", &data), unknown(&origin, "file")] {
            let folder = tempfile::tempdir().unwrap();
            let fetched = fetch(&origin, &file, folder.path()).await.unwrap_or_else(|error| panic!("{length} bytes: {error}"));
            assert_eq!(fetched, Fetched { size_bytes: length as u64, sha256: sha256(&data), fetched_bytes: length as u64 });
            assert!(read(folder.path()) == *data, "{length} bytes are wrong");
            assert_eq!(left_in(folder.path()), ["file"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_not_fetched_again() {
    let data = content(MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = promised(&origin, "file", &data);
    fetch(&origin, &file, folder.path()).await.unwrap();
    let asked = origin.asks().len();
    let again = fetch(&origin, &file, folder.path()).await.unwrap();
    assert_eq!((again.fetched_bytes, origin.asks().len()), (0, asked));
    assert_eq!(downloader_for(&origin).present_bytes(&target_in(folder.path())), data.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_in_its_place_is_fetched_again() {
    let data = content(MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = promised(&origin, "file", &data);
    fetch(&origin, &file, folder.path()).await.unwrap();
    let mut damaged = read(folder.path());
    damaged[77] ^= 1;
    std::fs::write(target_in(folder.path()).path, damaged).unwrap();
    let again = fetch(&origin, &file, folder.path()).await.unwrap();
    assert_eq!(again.fetched_bytes, data.len() as u64);
    assert!(read(folder.path()) == *data);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_fetch_the_same_at_once_share_the_work() {
    let data = content(8 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = promised(&origin, "file", &data);
    let all = futures_util::future::join_all((0..6).map(|_| fetch(&origin, &file, folder.path()))).await;
    let fetched: u64 = all.into_iter().map(|one| one.unwrap().fetched_bytes).sum();
    assert_eq!((fetched, origin.sent()), (data.len() as u64, data.len() as u64));
    assert_eq!(left_in(folder.path()), ["file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_from_the_first_byte_to_the_last() {
    let data = content(3 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let watcher = Watcher::default();
    let file = promised(&origin, "file", &data);
    downloader_for(&origin).fetch(&file, &target_in(folder.path()), &watcher, &watcher.cancel).await.unwrap();
    assert_eq!(watcher.present.load(Ordering::Relaxed), data.len() as u64);
    let phases = watcher.phases.lock().unwrap();
    assert_eq!(*phases, [FilePhase::Waiting, FilePhase::Fetching, FilePhase::Verifying, FilePhase::Done]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_file_is_verified_by_its_git_identity() {
    let origin = Origin::serving(Arc::new(b"hello".to_vec()));
    let digest = FileDigest::try_git_blob("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = RemoteFile { digest: Some(digest), ..unknown(&origin, "file") };
    fetch(&origin, &file, folder.path()).await.unwrap();
    let digest = FileDigest::try_git_blob(&"0".repeat(40)).unwrap();
    let other = tempfile::tempdir().unwrap();
    let error = fetch(&origin, &RemoteFile { digest: Some(digest), ..file }, other.path()).await.unwrap_err();
    assert!(matches!(error, DownloadError::DigestMismatch { .. }), "{error}");
    assert!(left_in(other.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_leads_to_its_storage_which_never_hears_who_we_are() {
    let data = content(4 * MIB);
    let storage = Arc::new(Origin::serving(Arc::clone(&data)));
    let hub = Origin::start({
        let storage = storage.url("signed?signature=1");
        move |_| {
            Reply::redirect(storage.as_str()).with("X-Linked-Etag", "\"sha\"").with("X-Linked-Size", "7").with("X-Repo-Commit", "c0ffee")
        }
    });
    let mut file = promised(&hub, "file", &data);
    file.request = file.request.with_token(Some("canary"));
    let folder = tempfile::tempdir().unwrap();
    fetch(&hub, &file, folder.path()).await.unwrap();
    assert!(read(folder.path()) == *data);
    assert_eq!(hub.asks().len(), 1, "the storage is asked directly once it is known");
    assert_eq!(hub.asks()[0].headers["authorization"], "Bearer canary");
    assert!(storage.asks().len() > 1);
    assert!(storage.asks().iter().all(|ask| !ask.headers.contains_key("authorization") && ask.headers["accept-encoding"] == "identity"));
    let probe = downloader_for(&hub).probe(&file).await.unwrap();
    let expected =
        Probe { size_bytes: Some(data.len() as u64), etag: Some("sha".to_owned()), commit: Some("c0ffee".to_owned()), ranges: true };
    assert_eq!(probe, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_became_too_old_is_asked_for_again() {
    let data = content(8 * MIB);
    let storage = Arc::new(Origin::start({
        let data = Arc::clone(&data);
        // Each signed address is good for three answers.
        let used = std::sync::Mutex::new(std::collections::HashMap::<String, u32>::new());
        move |ask| {
            let mut used = used.lock().unwrap();
            let count = used.entry(ask.path.clone()).or_default();
            *count += 1;
            if *count > 3 { Reply::new(403, "expired") } else { Reply::file(ask, &data, "tag") }
        }
    }));
    let hub = Origin::start({
        let storage = storage.url("signed");
        move |ask| Reply::redirect(format!("{storage}?signature={}", ask.number))
    });
    let folder = tempfile::tempdir().unwrap();
    fetch(&hub, &promised(&hub, "file", &data), folder.path()).await.unwrap();
    assert!(read(folder.path()) == *data);
    assert!(hub.asks().len() > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_ranges_is_read_as_one_stream() {
    let data = content(2 * MIB + 3);
    for chunked in [false, true] {
        let origin = Origin::start({
            let data = Arc::clone(&data);
            move |_| Reply { chunked, ..Reply::new(200, data.as_slice()) }
        });
        for file in [promised(&origin, "file", &data), unknown(&origin, "file")] {
            let folder = tempfile::tempdir().unwrap();
            let fetched = fetch(&origin, &file, folder.path()).await.unwrap();
            assert_eq!(fetched.fetched_bytes, data.len() as u64, "the answer to the first range is the stream");
            assert!(read(folder.path()) == *data);
        }
        let probe = downloader_for(&origin).probe(&unknown(&origin, "file")).await.unwrap();
        assert!(!probe.ranges);
    }
}

//! A download whose process is killed goes on in the next one.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

/// Where the process that is going to be killed gets its work from.
const WORK: &str = "ORCH_TEST_DOWNLOAD";

/// Does nothing, unless it is the process that is going to be killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_downloads_until_it_is_killed() {
    let Ok(work) = std::env::var(WORK) else { return };
    let [url, digest, size, folder] = work.split(' ').collect::<Vec<_>>()[..] else { panic!("{work}") };
    let file = RemoteFile {
        request: RemoteRequest::new(parse(url)),
        name: "file".to_owned(),
        size_bytes: Some(size.parse().unwrap()),
        digest: Some(FileDigest::Sha256(Sha256Digest::try_new(digest).unwrap())),
    };
    let settings = HttpSettings { endpoints: vec![parse(url)], ..HttpSettings::default() };
    let downloader = Downloader::new(HttpClient::try_new(&settings).unwrap(), quick());
    let watcher = Watcher::default();
    downloader.fetch(&file, &target_in(Path::new(folder)), &watcher, &watcher.cancel).await.unwrap();
}

fn start(file: &RemoteFile, folder: &Path) -> Child {
    let digest = file.digest.as_ref().unwrap().as_str();
    let work = format!("{} {digest} {} {}", file.request.url, file.size_bytes.unwrap(), folder.display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "download::tests::kill::a_process_that_downloads_until_it_is_killed"]).env(WORK, work);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_download_fetches_little_again() {
    const KILLS: u64 = 5;
    let data = content(48 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = promised(&origin, "file", &data);
    for kill in 1..=KILLS {
        let before = origin.sent();
        let mut child = start(&file, folder.path());
        let begun = Instant::now();
        while origin.sent() < before + kill * (3 << 20) && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_mins(1));
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(left_in(folder.path()).iter().all(|name| name != "file") || read(folder.path()) == *data);
    }
    fetch(&origin, &file, folder.path()).await.unwrap();
    assert!(read(folder.path()) == *data);
    let again = origin.sent().saturating_sub(data.len() as u64);
    assert!(again <= KILLS * (8 << 20), "{again} bytes were fetched again");
}

/// Does nothing, unless it was started without certificates.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_certificates() {
    let Ok(url) = std::env::var("ORCH_TEST_NO_CERTIFICATES") else { return };
    let url = parse(&url);
    let client = HttpClient::try_new(&HttpSettings { endpoints: vec![url.clone()], ..HttpSettings::default() }).unwrap();
    assert_eq!(client.get_small(&RemoteRequest::new(url), 100).await.unwrap().bytes, "hello");
    let error = client.get_small(&RemoteRequest::new(parse("https://127.0.0.1:1/?canary")), 100).await.unwrap_err();
    assert!(matches!(error, DownloadError::NoCertificates { .. }), "{error:?}");
    let reference = "hf:a/b".parse().unwrap();
    let error = error.into_provider_error(&reference, "https://hub.example");
    assert!(orchestrator_core::error::Coded::hint(&error).unwrap().contains("ca-certificates"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certificates_http_still_works_and_https_says_what_is_missing() {
    let origin = Origin::serving(Arc::new(b"hello".to_vec()));
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "download::tests::kill::a_process_without_certificates"]);
    command.env("ORCH_TEST_NO_CERTIFICATES", origin.url("hello").as_str());
    command.env("SSL_CERT_FILE", nowhere.path().join("none")).env("SSL_CERT_DIR", nowhere.path());
    let ended = command.output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    assert_eq!(origin.asks().len(), 1);
}

//! What an earlier try left is used, if it is good.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;

use super::*;
use crate::download::blocks::BLOCK_BYTES;
use crate::download::checkpoint::Identity;
use crate::download::checksum::checksum;
use server::Reply;

/// What may be fetched twice after an end at any moment.
const MOST_AGAIN: u64 = 8 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_it_ended() {
    let data = content(32 * MIB);
    let length = data.len() as u64;
    let origin = Origin::serving(Arc::clone(&data));
    for file in [promised(&origin, "file", &data), unknown(&origin, "file")] {
        let folder = tempfile::tempdir().unwrap();
        let before = origin.sent();
        for percent in [30, 60, 90] {
            fetch_some(&origin, &file, folder.path(), length * percent / 100).await;
            assert!(!target_in(folder.path()).path.exists());
        }
        let present = downloader_for(&origin).present_bytes(&target_in(folder.path()));
        assert!(present >= length * 80 / 100, "{present}");
        let last = fetch(&origin, &file, folder.path()).await.unwrap();
        assert!(last.fetched_bytes <= length - present, "{}", last.fetched_bytes);
        assert!(read(folder.path()) == *data);
        let again = origin.sent() - before - length;
        assert!(again <= 3 * MOST_AGAIN, "{again} bytes were fetched again");
        assert_eq!(left_in(folder.path()), ["file"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_found_and_only_it_is_fetched_again() {
    let data = content(16 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = promised(&origin, "file", &data);
    fetch_some(&origin, &file, folder.path(), 12 << 20).await;
    let present = downloader_for(&origin).present_bytes(&target_in(folder.path()));
    let part = std::fs::File::options().write(true).open(folder.path().join("blobs/file.orch-part")).unwrap();
    // As after a power loss: the checkpoint has the first block, the disk has not.
    part.write_all_at(&[0; 4096], 8192).unwrap();
    let last = fetch(&origin, &file, folder.path()).await.unwrap();
    assert_eq!(last.fetched_bytes, data.len() as u64 - present + BLOCK_BYTES);
    assert!(read(folder.path()) == *data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_wrong_and_looks_right_makes_it_begin_anew() {
    let data = content(4 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = promised(&origin, "file", &data);
    fetch_some(&origin, &file, folder.path(), 3 << 20).await;
    let blobs = folder.path().join("blobs");
    let wrong = vec![7; usize::try_from(BLOCK_BYTES).unwrap()];
    let part = std::fs::File::options().write(true).open(blobs.join("file.orch-part")).unwrap();
    part.write_all_at(&wrong, 0).unwrap();
    let pieces = std::fs::File::options().append(true).open(blobs.join("file.orch-pieces")).unwrap();
    let mut log = crate::download::checkpoint::CheckpointLog::after_all(pieces);
    log.add(0, checksum(&wrong)).unwrap();
    let last = fetch(&origin, &file, folder.path()).await.unwrap();
    assert!(last.fetched_bytes >= data.len() as u64);
    assert!(read(folder.path()) == *data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_part_is_published_without_asking_anybody() {
    let data = content(2 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = promised(&origin, "file", &data);
    // As a kill right before publication leaves it.
    let digest = file.digest.as_ref().map(|digest| digest.as_str().to_owned());
    let identity = Identity::new(shown(&file.request.url), data.len() as u64, None, digest);
    let mut part = PartPaths::of(&target_in(folder.path()).path).begin(&identity, None).unwrap();
    part.file.write_all_at(&data, 0).unwrap();
    for (index, block) in data.chunks(usize::try_from(BLOCK_BYTES).unwrap()).enumerate() {
        part.log.as_mut().unwrap().add(index as u64, checksum(block)).unwrap();
    }
    let fetched = fetch(&origin, &file, folder.path()).await.unwrap();
    assert_eq!((fetched.fetched_bytes, origin.asks().len()), (0, 0));
    assert!(read(folder.path()) == *data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_part_that_only_has_a_tag_is_asked_for_its_first_byte() {
    let data = content(2 * MIB + 1);
    let origin = Origin::serving(Arc::clone(&data));
    let folder = tempfile::tempdir().unwrap();
    let file = unknown(&origin, "file");
    let identity = Identity::new(shown(&file.request.url), data.len() as u64, Some("tag".to_owned()), None);
    let mut part = PartPaths::of(&target_in(folder.path()).path).begin(&identity, None).unwrap();
    part.file.write_all_at(&data, 0).unwrap();
    let blocks: Vec<_> = data.chunks(usize::try_from(BLOCK_BYTES).unwrap()).map(checksum).collect();
    // The last block, of one byte, is missing: it is asked for and nothing else.
    for (index, block) in blocks[..blocks.len() - 1].iter().enumerate() {
        part.log.as_mut().unwrap().add(index as u64, *block).unwrap();
    }
    let fetched = fetch(&origin, &file, folder.path()).await.unwrap();
    assert_eq!((fetched.fetched_bytes, origin.sent()), (1, 1));
    let mut part = PartPaths::of(&target_in(folder.path()).path).begin(&identity, None).unwrap();
    part.file.write_all_at(&data, 0).unwrap();
    for (index, block) in blocks.iter().enumerate() {
        part.log.as_mut().unwrap().add(index as u64, *block).unwrap();
    }
    std::fs::remove_file(target_in(folder.path()).path).unwrap();
    let fetched = fetch(&origin, &file, folder.path()).await.unwrap();
    assert_eq!((fetched.fetched_bytes, origin.asks().len(), origin.sent()), (0, 2, 2));
    assert!(read(folder.path()) == *data);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_another_file_are_not_mixed_in() {
    let (old, new) = (content(8 * MIB), Arc::new(content(8 * MIB).iter().map(|byte| !byte).collect::<Vec<u8>>()));
    let folder = tempfile::tempdir().unwrap();
    let served = Arc::new(std::sync::Mutex::new((Arc::clone(&old), "old")));
    let origin = Origin::start({
        let served = Arc::clone(&served);
        move |ask| {
            let (data, tag) = served.lock().unwrap().clone();
            Reply::file(ask, &data, tag)
        }
    });
    let file = unknown(&origin, "file");
    fetch_some(&origin, &file, folder.path(), 6 << 20).await;
    *served.lock().unwrap() = (Arc::clone(&new), "new");
    fetch(&origin, &file, folder.path()).await.unwrap();
    assert!(read(folder.path()) == *new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_full_of_nonsense_is_no_obstacle() {
    let data = content(4 * MIB);
    let origin = Origin::serving(Arc::clone(&data));
    let file = promised(&origin, "file", &data);
    for nonsense in [&b""[..], b"{", b"{}\n", &[0; 1000], &[b'\n'; 100]] {
        let folder = tempfile::tempdir().unwrap();
        fetch_some(&origin, &file, folder.path(), 2 << 20).await;
        std::fs::write(folder.path().join("blobs/file.orch-pieces"), nonsense).unwrap();
        fetch(&origin, &file, folder.path()).await.unwrap();
        assert!(read(folder.path()) == *data);
    }
    let folder = tempfile::tempdir().unwrap();
    fetch_some(&origin, &file, folder.path(), 2 << 20).await;
    let path = folder.path().join("blobs/file.orch-pieces");
    let mut bytes = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes.truncate(bytes.len() - 7);
    std::fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
    let last = fetch(&origin, &file, folder.path()).await.unwrap();
    assert!(last.fetched_bytes < data.len() as u64, "a torn end costs a block and not the file");
    assert!(read(folder.path()) == *data);
}

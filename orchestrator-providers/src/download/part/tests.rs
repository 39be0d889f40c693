#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::os::unix::fs::{FileExt as _, symlink};

use super::*;
use crate::download::blocks::BLOCK_BYTES;

fn identity(size_bytes: u64) -> Identity {
    Identity::new("https://hub.example/a".to_owned(), size_bytes, Some("tag".to_owned()), None)
}

#[test]
fn a_part_is_resumed_and_then_published() {
    let folder = tempfile::tempdir().unwrap();
    let paths = PartPaths::of(&folder.path().join("blobs/a"));
    assert!(paths.checkpoint().is_none());
    let mut part = paths.begin(&identity(2 * BLOCK_BYTES), None).unwrap();
    part.file.write_all_at(b"here", 0).unwrap();
    part.log.as_mut().unwrap().add(0, 5).unwrap();
    drop(part);
    let checkpoint = paths.checkpoint().unwrap();
    assert_eq!(checkpoint.blocks.into_iter().collect::<Vec<_>>(), [(0, 5)]);
    let checkpoint = paths.checkpoint().unwrap();
    let part = paths.begin(&identity(2 * BLOCK_BYTES), Some(&checkpoint)).unwrap();
    assert!(!paths.target.exists());
    paths.publish(&part.file).unwrap();
    let published = fs::read(&paths.target).unwrap();
    assert_eq!((published.len() as u64, &published[..4]), (2 * BLOCK_BYTES, &b"here"[..]));
    assert_eq!(fs::read_dir(folder.path().join("blobs")).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_checkpoint_without_its_part_is_worth_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let paths = PartPaths::of(&folder.path().join("a"));
    drop(paths.begin(&identity(BLOCK_BYTES), None).unwrap());
    assert!(paths.checkpoint().is_some());
    File::options().write(true).open(&paths.part).unwrap().set_len(7).unwrap();
    assert!(paths.checkpoint().is_none());
    fs::remove_file(&paths.part).unwrap();
    assert!(paths.checkpoint().is_none());
}

#[test]
fn a_link_in_the_place_of_a_part_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let paths = PartPaths::of(&folder.path().join("a"));
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    drop(paths.begin(&identity(8), None).unwrap());
    fs::remove_file(&paths.part).unwrap();
    symlink(&victim, &paths.part).unwrap();
    assert!(paths.checkpoint().is_none());
    assert!(PartPaths::open(&paths.part).is_err());
    drop(paths.begin(&identity(8), None).unwrap());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_file_that_is_larger_than_the_disk_is_refused_with_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let paths = PartPaths::of(&folder.path().join("a"));
    let error = paths.begin(&identity(1 << 60), None).unwrap_err();
    let DownloadError::NoSpace { needed, free, .. } = error else { panic!("{error}") };
    assert!(needed > free && free > 0);
}

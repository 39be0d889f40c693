#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use super::*;

const HELLO_SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
/// `printf hello | git hash-object --stdin`
const HELLO_GIT: &str = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";

fn hashed(board: Board, file: &File, length: Option<u64>, promised: Option<&FileDigest>) -> Vec<HasherEvent> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    follow(file, &Arc::new(board), length, promised, &sender);
    drop(sender);
    std::iter::from_fn(|| receiver.blocking_recv()).collect()
}

#[test]
fn both_digests_are_those_that_others_compute() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"hello", 0).unwrap();
    let git = FileDigest::try_git_blob(HELLO_GIT).unwrap();
    let sha256 = FileDigest::Sha256(Sha256Digest::try_new(HELLO_SHA256).unwrap());
    for length in [Some(5), None] {
        for promised in [&git, &sha256] {
            let board = Board::default();
            board.add(0, b"hello".to_vec());
            board.set_end(1);
            let events = hashed(board, &file, length, Some(promised));
            let [HasherEvent::Finished(Ok(digests))] = &events[..] else { panic!("{events:?}") };
            assert_eq!(digests.sha256.as_str(), HELLO_SHA256);
            assert_eq!(digests.contradiction(Some(promised)), None);
        }
    }
    let wrong = FileDigest::try_git_blob(&"0".repeat(40)).unwrap();
    assert_eq!(digests_of(&file, Some(&wrong), &|| false).unwrap().contradiction(Some(&wrong)).as_deref(), Some(HELLO_GIT));
}

#[test]
fn an_empty_file_has_a_digest() {
    let file = tempfile::tempfile().unwrap();
    let board = Board::default();
    board.set_end(0);
    let events = hashed(board, &file, Some(0), None);
    let [HasherEvent::Finished(Ok(digests))] = &events[..] else { panic!("{events:?}") };
    assert_eq!(digests.sha256.as_str(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn a_damaged_block_of_an_earlier_try_is_told_and_waited_for() {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"hexxo", 0).unwrap();
    let board = Arc::new(Board::new([(0, checksum(b"hello"))]));
    board.set_end(1);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let hashing = std::thread::spawn({
        let (board, file) = (Arc::clone(&board), file.try_clone().unwrap());
        move || follow(&file, &board, Some(5), None, &sender)
    });
    assert!(matches!(receiver.blocking_recv(), Some(HasherEvent::Damaged(0))));
    file.write_all_at(b"hello", 0).unwrap();
    board.add(0, b"hello".to_vec());
    let Some(HasherEvent::Finished(Ok(digests))) = receiver.blocking_recv() else { panic!("no digest") };
    assert_eq!(digests.sha256.as_str(), HELLO_SHA256);
    hashing.join().unwrap();
}

#[test]
fn nobody_is_told_when_nobody_asks_any_more() {
    let file = tempfile::tempfile().unwrap();
    let board = Board::default();
    board.close();
    assert!(hashed(board, &file, Some(5), None).is_empty());
}

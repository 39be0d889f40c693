#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use proptest::prelude::*;

use super::*;

fn identity() -> Identity {
    Identity::new("https://hub.example/file".to_owned(), 10 * BLOCK_BYTES, Some("tag".to_owned()), None)
}

fn log(records: &[(u64, u64)]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    let mut log = CheckpointLog::begin(file.try_clone().unwrap(), &identity()).unwrap();
    for (index, checksum) in records {
        log.add(*index, *checksum).unwrap();
    }
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut file).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_log_is_read_as_it_was_written() {
    let read = Checkpoint::parse(&log(&[(0, 7), (3, 8), (0, 9)])).unwrap();
    assert_eq!(read.identity, identity());
    assert_eq!(read.blocks, BTreeMap::from([(0, 9), (3, 8)]), "the last word on a block counts");
}

#[test]
fn a_torn_end_is_cut_off_and_the_log_goes_on_after_the_good_part() {
    let whole = log(&[(0, 7), (3, 8)]);
    for cut in 1..RECORD {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&whole[..whole.len() - cut]).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let read = Checkpoint::read(&mut file).unwrap().unwrap();
        assert_eq!(read.blocks, BTreeMap::from([(0, 7)]));
        let mut log = CheckpointLog::resume(file.try_clone().unwrap(), &read).unwrap();
        log.add(5, 1).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        assert_eq!(Checkpoint::read(&mut file).unwrap().unwrap().blocks, BTreeMap::from([(0, 7), (5, 1)]));
    }
}

#[test]
fn a_log_without_a_whole_header_says_nothing() {
    let whole = log(&[]);
    assert!(Checkpoint::parse(&whole).is_some());
    for cut in 0..whole.len() {
        assert_eq!(Checkpoint::parse(&whole[..cut]), None, "{cut}");
    }
    assert_eq!(Checkpoint::parse(b"{\"version\":2}\n"), None);
    assert_eq!(Checkpoint::parse(&vec![0; 100_000]), None);
}

#[test]
fn a_record_of_a_block_that_cannot_be_ends_the_good_part() {
    assert_eq!(Checkpoint::parse(&log(&[(1, 1), (10, 1), (2, 1)])).unwrap().blocks, BTreeMap::from([(1, 1)]));
    let mut zeros = log(&[(1, 1)]);
    zeros.extend_from_slice(&[0; 4 * RECORD]);
    assert_eq!(Checkpoint::parse(&zeros).unwrap().blocks, BTreeMap::from([(1, 1)]), "a lost page reads as zeros");
}

#[test]
fn blocks_belong_to_the_same_file_only() {
    let tagged = |url: &str, size, tag: Option<&str>| Identity::new(url.to_owned(), size, tag.map(str::to_owned), None);
    let known = |digest: &str, tag: &str| Identity::new("a".to_owned(), 5, Some(tag.to_owned()), Some(digest.to_owned()));
    assert!(tagged("a", 5, Some("t")).is_same_file(&tagged("a", 5, Some("t"))));
    for other in [tagged("b", 5, Some("t")), tagged("a", 6, Some("t")), tagged("a", 5, Some("u")), tagged("a", 5, None), known("d", "t")] {
        assert!(!tagged("a", 5, Some("t")).is_same_file(&other), "{other:?}");
    }
    assert!(!tagged("a", 5, None).is_same_file(&tagged("a", 5, None)), "without a tag nobody knows");
    assert!(known("d", "t").is_same_file(&known("d", "another mirror's")));
    assert!(!known("d", "t").is_same_file(&known("e", "t")));
}

proptest! {
    #[test]
    fn damage_never_adds_a_block(place in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>()) {
        let records: Vec<_> = (0..10).map(|index| (index, index * 77)).collect();
        let mut bytes = log(&records);
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Some(read) = Checkpoint::parse(&bytes) {
            for (index, checksum) in &read.blocks {
                // A flipped bit in the header may make another file of it, which its identity tells.
                prop_assert_eq!(*checksum, index * 77);
            }
        }
    }

    #[test]
    fn nothing_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Checkpoint::parse(&bytes);
        let mut framed = log(&[]);
        framed.extend_from_slice(&bytes);
        let _ = Checkpoint::parse(&framed);
    }
}

//! Logs of every size and content.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{readable, rotate_if_large, tail};

#[test]
fn a_line_is_made_fit_for_a_terminal() {
    let cases = [
        ("plain", "plain"),
        ("größe 模型", "größe 模型"),
        ("a\tb", "a\tb"),
        ("\u{1b}[1;31mred\u{1b}[0m end", "red end"),
        ("\u{1b}]0;title\u{7}x", "x"),
        ("\u{1b}]8;;http://x\u{1b}\\link", "link"),
        ("\u{1b}cx", "x"),
        ("cut \u{1b}[12", "cut "),
        ("cut \u{1b}", "cut "),
        ("10%\r20%\r", "10%\\r20%"),
        ("bell\u{7}", "bell\\u{7}"),
        ("c1\u{9b}31m", "c1\\u{9b}31m"),
        ("abc\u{202e}fed", "abc\\u{202e}fed"),
    ];
    for (line, expected) in cases {
        assert_eq!(readable(line), expected, "{line:?}");
    }
}

#[test]
fn the_last_lines_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let cases: [(&[u8], usize, u64, &[&str]); 12] = [
        (b"", 5, 100, &[]),
        (b"\n", 5, 100, &[]),
        (b"one\ntwo\nthree\n", 2, 100, &["two", "three"]),
        (b"one\ntwo", 5, 100, &["one", "two"]),
        (b"one\n\nthree\n", 2, 100, &["", "three"]),
        (b"one\ntwo\n", 0, 100, &[]),
        (b"one\ntwo\n", 5, 0, &[]),
        (b"one\ntwo\nthree\n", 5, 10, &["two", "three"]),
        (b"one\ntwo\nthree\n", 5, 9, &["three"]),
        (b"one\ntwo\nthree\n", 5, 4, &["ree"]),
        (b"no end in sight", 5, 5, &["sight"]),
        (b"bad \xff\xfe\n", 5, 100, &["bad \u{fffd}\u{fffd}"]),
    ];
    for (content, lines, max_bytes, expected) in cases {
        fs::write(&path, content).unwrap();
        assert_eq!(tail(&path, lines, max_bytes).unwrap(), expected, "{:?}", String::from_utf8_lossy(content));
    }
    assert_eq!(tail(&folder.path().join("missing"), 5, 100).unwrap(), Vec::<String>::new());
    assert!(tail(folder.path(), 5, 100).is_err());
}

#[test]
fn a_large_log_is_rotated_and_the_oldest_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let part = |number: usize| fs::read_to_string(folder.path().join(format!("log.{number}"))).ok();
    assert!(!rotate_if_large(&path, 3, 2).unwrap(), "there is none yet");
    for (content, rotated) in [("one", false), ("first", true), ("second", true), ("third", true)] {
        fs::write(&path, content).unwrap();
        assert_eq!(rotate_if_large(&path, 3, 2).unwrap(), rotated, "{content}");
    }
    assert_eq!((part(1).as_deref(), part(2).as_deref(), part(3)), (Some("third"), Some("second"), None));
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    assert_eq!(fs::metadata(folder.path().join("log.1")).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&path, "gone").unwrap();
    assert!(rotate_if_large(&path, 3, 0).unwrap());
    assert_eq!(part(1).as_deref(), Some("third"), "nothing is kept, so nothing moves");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no temporary file stays");
}

#[test]
fn a_log_that_cannot_be_copied_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "content").unwrap();
    fs::create_dir(folder.path().join("log.partial")).unwrap();
    assert!(rotate_if_large(&path, 3, 2).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
}

#[test]
fn of_a_log_that_outgrew_its_limit_by_far_the_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let content: Vec<u8> = (0..100).collect();
    fs::write(&path, &content).unwrap();
    assert!(rotate_if_large(&path, 10, 1).unwrap());
    assert_eq!(fs::read(folder.path().join("log.1")).unwrap(), content[60..]);
    assert_eq!(fs::read(&path).unwrap(), b"");
}

//! Logs of every size and content.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{readable, rotate_if_large};

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
        ("a\u{200f}b\u{2067}c", "a\\u{200f}b\\u{2067}c"),
    ];
    for (line, expected) in cases {
        assert_eq!(readable(line), expected, "{line:?}");
    }
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

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::pin::{Pin, pin};

use futures_util::StreamExt as _;

use super::*;

struct Logs {
    folder: tempfile::TempDir,
}

impl Logs {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> OutputFiles {
        OutputFiles { stdout: Some(self.path("stdout.log")), stderr: Some(self.path("stderr.log")) }
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap().write_all(bytes.as_ref()).unwrap();
    }

    fn tail(&self, stream: LogStream, lines: usize) -> Vec<String> {
        read_tail(&self.files(), stream, lines).unwrap().into_iter().map(|line| line.text).collect()
    }
}

async fn next(stream: &mut Pin<&mut impl Stream<Item = LogLine>>) -> String {
    tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("no line came").unwrap().text
}

#[test]
fn the_tail_is_the_last_lines_however_they_end() {
    let cases: [(&[u8], usize, &[&str]); 12] = [
        (b"", 5, &[]),
        (b"\n", 5, &[""]),
        (b"one", 5, &["one"]),
        (b"one\n", 5, &["one"]),
        (b"one\ntwo\nthree\n", 2, &["two", "three"]),
        (b"one\ntwo\nthree", 2, &["two", "three"]),
        (b"one\n\n\n", 2, &["", ""]),
        (b"one\ntwo\n", 0, &[]),
        (b"one\r\ntwo\r\n", 5, &["one", "two"]),
        (b"one\ntwo\n", usize::MAX, &["one", "two"]),
        (b"\xff\xfeok\xc3\n", 1, &["\u{fffd}\u{fffd}ok\u{fffd}"]),
        (b"\x1b[31mred\x07\ttab \xe2\x80\xae\x00\n", 1, &["red\\u{7}\ttab \\u{202e}\\u{0}"]),
    ];
    for (content, lines, expected) in cases {
        let logs = Logs::new();
        logs.append("stderr.log", content);
        assert_eq!(logs.tail(LogStream::Both, lines), expected, "{:?} {lines}", String::from_utf8_lossy(content));
    }
}

#[test]
fn each_output_can_be_asked_for_alone() {
    let logs = Logs::new();
    assert_eq!(logs.tail(LogStream::Both, 9), Vec::<String>::new());
    logs.append("stdout.log", "out\n");
    logs.append("stderr.log", "err\n");
    assert_eq!(logs.tail(LogStream::Stdout, 9), ["out"]);
    assert_eq!(logs.tail(LogStream::Stderr, 9), ["err"]);
    let both = read_tail(&logs.files(), LogStream::Both, 9).unwrap();
    assert_eq!(
        both.iter().map(|line| (line.stream, line.text.as_str())).collect::<Vec<_>>(),
        [(LogStream::Stdout, "out"), (LogStream::Stderr, "err")]
    );
    assert_eq!(read_tail(&OutputFiles::default(), LogStream::Both, 9).unwrap(), []);
}

#[test]
fn a_tail_over_many_blocks_is_exact() {
    let logs = Logs::new();
    let text: String = (0..60_000).fold(String::new(), |text, number| text + &format!("line {number}\n"));
    logs.append("stdout.log", &text);
    let expected: Vec<_> = text.lines().collect();
    for lines in [1, 100, 8_191, 59_999, 60_000, 70_000] {
        assert!(logs.tail(LogStream::Both, lines) == expected[expected.len().saturating_sub(lines)..], "{lines}");
    }
}

#[test]
fn an_endless_line_is_cut() {
    let logs = Logs::new();
    logs.append("stdout.log", "before\n");
    logs.append("stdout.log", vec![b'x'; 40 << 20]);
    let lines = logs.tail(LogStream::Both, 10);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].len(), LONGEST_LINE + CUT_MARK.len());
    logs.append("stdout.log", "\nafter\n");
    assert_eq!(logs.tail(LogStream::Both, 1), ["after"]);
}

#[test]
fn just_after_a_rotation_the_file_before_completes_the_tail() {
    let logs = Logs::new();
    logs.append("stdout.log.1", "1\n2\n3\n");
    logs.append("stdout.log", "4\n");
    assert_eq!(logs.tail(LogStream::Both, 3), ["2", "3", "4"]);
    assert_eq!(logs.tail(LogStream::Both, 1), ["4"]);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let logs = Logs::new();
    std::fs::create_dir(logs.path("stdout.log")).unwrap();
    assert!(read_tail(&logs.files(), LogStream::Both, 1).is_err());
}

#[tokio::test]
async fn following_begins_with_the_tail_and_goes_on_with_what_comes() {
    let logs = Logs::new();
    logs.append("stdout.log", "1\n2\n3\n");
    let mut stream = pin!(follow(&logs.files(), LogStream::Both, 2));
    assert_eq!(next(&mut stream).await, "2");
    assert_eq!(next(&mut stream).await, "3");
    logs.append("stdout.log", "4\nhal");
    assert_eq!(next(&mut stream).await, "4");
    // The other file appears only now, and is shown from its start.
    logs.append("stderr.log", "err\n");
    assert_eq!(next(&mut stream).await, "err");
    logs.append("stdout.log", "f\n");
    assert_eq!(next(&mut stream).await, "half");
}

#[tokio::test]
async fn following_without_a_tail_shows_only_what_is_new() {
    let logs = Logs::new();
    logs.append("stdout.log", "old\n");
    let mut stream = pin!(follow(&logs.files(), LogStream::Stdout, 0));
    // One poll, so that it has begun; there is nothing to show.
    let begun = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
    assert!(begun.is_err(), "{begun:?}");
    logs.append("stdout.log", "new\n");
    assert_eq!(next(&mut stream).await, "new");
}

#[tokio::test]
async fn following_goes_on_after_both_kinds_of_rotation() {
    let logs = Logs::new();
    logs.append("stdout.log", "a long first line\n");
    let mut stream = pin!(follow(&logs.files(), LogStream::Stdout, 10));
    assert_eq!(next(&mut stream).await, "a long first line");
    // Emptied in place.
    OpenOptions::new().write(true).open(logs.path("stdout.log")).unwrap().set_len(0).unwrap();
    logs.append("stdout.log", "cut\n");
    assert_eq!(next(&mut stream).await, "cut");
    // Replaced by another file; what was written to the old one just before is not lost.
    logs.append("stdout.log", "last words\n");
    std::fs::rename(logs.path("stdout.log"), logs.path("stdout.log.1")).unwrap();
    logs.append("stdout.log", "renamed\n");
    assert_eq!(next(&mut stream).await, "last words");
    assert_eq!(next(&mut stream).await, "renamed");
}

#[tokio::test]
async fn an_unfinished_line_is_shown_after_a_while() {
    let logs = Logs::new();
    let mut stream = pin!(follow(&logs.files(), LogStream::Stdout, 10));
    logs.append("stdout.log", "no end yet");
    assert_eq!(next(&mut stream).await, "no end yet");
}

#[tokio::test]
async fn much_output_comes_whole_and_in_order() {
    let logs = Logs::new();
    logs.append("stdout.log", "first\n");
    let mut stream = pin!(follow(&logs.files(), LogStream::Stdout, 1));
    assert_eq!(next(&mut stream).await, "first");
    let text: String = (0..50_000).fold(String::new(), |text, number| text + &format!("line {number}\n"));
    logs.append("stdout.log", &text);
    for expected in text.lines() {
        assert_eq!(next(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn what_a_rotation_moved_away_unread_is_shown_first() {
    let logs = Logs::new();
    logs.append("stdout.log", "one\n");
    let mut stream = pin!(follow(&logs.files(), LogStream::Stdout, 10));
    assert_eq!(next(&mut stream).await, "one");
    logs.append("stdout.log", "two\n");
    assert!(crate::process::output::rotate_if_large(&logs.path("stdout.log"), 5, 1).unwrap());
    logs.append("stdout.log", "three, which is longer than all that was there\n");
    assert_eq!(next(&mut stream).await, "two");
    assert_eq!(next(&mut stream).await, "three, which is longer than all that was there");
}

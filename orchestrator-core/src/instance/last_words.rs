//! The last lines a server wrote to its error output: they explain a failure.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::process::output::readable;

/// How many lines are shown.
const LINES: usize = 20;
/// How much of the log is looked at, in bytes.
const WINDOW: u64 = 32 * 1024;
/// The longest line that is shown, in characters.
const LONGEST_LINE: usize = 500;

/// Returns the last lines that were written after `offset`, fit to be shown. A log that cannot be
/// read has no last words.
pub(super) async fn read(log: Option<PathBuf>, offset: u64) -> Vec<String> {
    let Some(log) = log else { return Vec::new() };
    tokio::task::spawn_blocking(move || read_since(&log, offset)).await.ok().and_then(Result::ok).unwrap_or_default()
}

fn read_since(log: &Path, offset: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    // A log that is shorter than it was has been rotated: all of it is newer.
    let begin = if offset > length { 0 } else { offset };
    let begin = begin.max(length.saturating_sub(WINDOW));
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(WINDOW).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(shown).filter(|line| !line.trim().is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].to_vec())
}

/// Makes a line fit to be shown, and cuts one that is too long.
fn shown(line: &str) -> String {
    let mut shown = readable(line);
    if let Some((end, _)) = shown.char_indices().nth(LONGEST_LINE) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// Returns the name of a signal, such as `SIGKILL`.
pub(super) fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        31 => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use std::io::Write;

    fn log(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn shows_only_what_this_server_wrote() {
        let file = log("old\nnew one\nnew two\n");
        assert_eq!(read_since(file.path(), 4).unwrap(), ["new one", "new two"]);
    }

    #[test]
    fn a_rotated_log_is_all_new() {
        assert_eq!(read_since(log("new\n").path(), 1_000).unwrap(), ["new"]);
    }

    #[test]
    fn keeps_the_last_lines_of_a_long_log_without_their_colours() {
        let lines: Vec<_> = (0..50).map(|line| format!("\u{1b}[31mline {line}\u{1b}[0m\u{7}")).collect();
        let text = format!("{}\n{}", "x".repeat(100_000), lines.join("\n"));
        let lines = read_since(log(&text).path(), 0).unwrap();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines.last().unwrap(), "line 49\\u{7}");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let lines = read_since(log(&"y".repeat(40_000)).path(), 0).unwrap();
        assert_eq!(lines[0].chars().count(), LONGEST_LINE + 1);
    }
}

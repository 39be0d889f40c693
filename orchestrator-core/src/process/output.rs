//! What servers wrote: keeping the files small, and reading their ends.
//!
//! A server holds its log open for appending, with or without us. So a log that became large is copied away and
//! cut to nothing in place; the server's next line lands at the new end.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How many times the size from which a log is rotated is kept of one that grew beyond it.
const LARGEST_COPY: u64 = 4;

/// Moves the content of `path` to `path.1` (and `path.1` to `path.2`, up to `path.KEEP`) when it is larger than
/// `max_bytes`, and returns whether it did. Of a log that is many times too large only the end is kept. What is written
/// in the moment between copy and cut is lost.
pub fn rotate_if_large(path: &Path, max_bytes: u64, keep: usize) -> io::Result<bool> {
    let mut log = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let metadata = log.metadata()?;
    if !metadata.is_file() || metadata.len() <= max_bytes {
        return Ok(false);
    }
    if keep > 0 {
        // Under a temporary name first: a disk that fills up leaves everything as it is.
        let partial = with_suffix(path, "partial");
        if let Err(error) = copy(&mut log, metadata.len(), max_bytes, &partial) {
            let _nothing_more_to_do = std::fs::remove_file(&partial);
            return Err(error);
        }
        for number in (1..keep).rev() {
            rename_if_there(&with_suffix(path, number), &with_suffix(path, number + 1))?;
        }
        std::fs::rename(&partial, with_suffix(path, 1))?;
    }
    log.set_len(0)?;
    Ok(true)
}

/// Returns the last `lines` lines of `path` from at most its last `max_bytes`, fit for a terminal: broken UTF-8
/// replaced, escape sequences removed, other control characters escaped. A file that is not there has no lines.
pub fn tail(path: &Path, lines: usize, max_bytes: u64) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let start = length.saturating_sub(max_bytes);
    // One byte more, to see whether the first line is whole.
    file.seek(SeekFrom::Start(start.saturating_sub(1)))?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(u64::from(start > 0))).read_to_end(&mut bytes)?;
    Ok(last_lines(&bytes, start > 0, lines))
}

/// Cuts the last lines out of the end of a file. With `cut`, the first byte is the one before the part asked for.
fn last_lines(bytes: &[u8], cut: bool, lines: usize) -> Vec<String> {
    let text = if cut {
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        // A single line longer than the whole part is shown from the cut on.
        match line_end {
            Some(end) if end + 1 < bytes.len() => bytes.get(end + 1..).unwrap_or_default(),
            _ => bytes.get(1..).unwrap_or_default(),
        }
    } else {
        bytes
    };
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    let mut last: Vec<_> = text.rsplit(|byte| *byte == b'\n').take(lines).map(|line| readable(&String::from_utf8_lossy(line))).collect();
    last.reverse();
    last
}

/// Makes one line fit for a terminal: removes escape sequences, escapes other control characters but the tab.
#[must_use]
pub fn readable(line: &str) -> String {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            '\t' => out.push(character),
            // A progress bar draws over itself; what counts is that it can be read.
            character if is_unfit(character) => out.extend(character.escape_default()),
            character => out.push(character),
        }
    }
    out
}

/// Control characters, and those that change the direction of the text around them.
fn is_unfit(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Skips what follows an escape character: a control sequence (`[` up to its final byte), a command to the
/// terminal (`]` up to a bell or an escape), or one character.
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => while rest.next().is_some_and(|character| !matches!(character, '@'..='~')) {},
        Some(']') => {
            while let Some(character) = rest.next() {
                if character == '\u{7}' {
                    break;
                }
                if character == '\u{1b}' {
                    rest.next_if_eq(&'\\');
                    break;
                }
            }
        }
        _ => {}
    }
}

fn with_suffix(path: &Path, suffix: impl Display) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    name.into()
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies a log that is `length` long and may be growing faster than it is copied.
fn copy(log: &mut File, length: u64, max_bytes: u64, to: &Path) -> io::Result<u64> {
    let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let most = max_bytes.saturating_mul(LARGEST_COPY);
    log.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    io::copy(&mut log.take(most), &mut target)
}

#[cfg(test)]
mod tests;

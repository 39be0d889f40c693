//! What servers wrote: keeping the files small, and making their lines fit to be shown. Every line of a server that a
//! person or a program gets to see goes through [`readable`].
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

/// Makes one line fit for a terminal or a browser: removes escape sequences, escapes other control characters but the
/// tab, and those that turn the direction of writing.
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
    character.is_control() || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

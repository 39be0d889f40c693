//! Reads what a server printed: the last lines, and those that come.
//!
//! Owns how bytes of a log become lines for people: colours are taken out, other control characters are shown and not
//! obeyed; invalid UTF-8 is replaced; a line without end is cut, so that memory is bounded whatever an engine prints. Writing and rotating
//! the files is not its business, but it copes with both: a file that is not there yet, one that another file
//! replaced, and one that was emptied in place.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::launcher::OutputFiles;
use crate::process::output::readable;

/// The longest line that is shown, in bytes; the rest of a longer one is left out.
const LONGEST_LINE: usize = 16 * 1024;
/// Stands at the end of a line that was cut.
const CUT_MARK: &str = " … (the rest of the line is left out)";
/// How far from its end a file is read for its last lines.
const FARTHEST_BACK: u64 = 16 << 20;
const BLOCK: usize = 64 * 1024;
/// How often files are looked at for more.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// After how many looks without anything new an unfinished line is shown as it is.
const PATIENCE: u32 = 10;

/// Which output of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// The error output.
    Stderr,
    /// Both of them.
    #[default]
    Both,
}

/// One line of a server's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Where it was printed: never [`LogStream::Both`].
    pub stream: LogStream,
    /// The line without its end, control characters escaped.
    pub text: String,
}

/// Returns the last lines of each output that is asked for, at most `lines` of each: first those of standard
/// output, then those of the error output. A file that is not there has none. Blocks on the disk.
///
/// # Errors
/// Fails when a file is there and cannot be read.
pub fn read_tail(files: &OutputFiles, stream: LogStream, lines: usize) -> io::Result<Vec<LogLine>> {
    let mut found = Vec::new();
    for (stream, path) in chosen(files, stream) {
        let newest = tail_of(stream, &path, lines)?;
        // Just after a rotation the last lines stand in the file before.
        found.extend(tail_of(stream, &rotated(&path), lines.saturating_sub(newest.len()))?);
        found.extend(newest);
    }
    Ok(found)
}

/// Returns the last `tail` lines of each output that is asked for, and then every line that comes, without end.
/// The stream begins when it is first polled.
///
/// A file that cannot be read is taken for one that is not there. Needs a Tokio runtime with time.
pub fn follow(files: &OutputFiles, stream: LogStream, tail: usize) -> impl Stream<Item = LogLine> + Send + use<> {
    let followers = chosen(files, stream).map(|(stream, path)| Follower::new(stream, path)).collect();
    let state = Following { followers, ready: VecDeque::new(), begin: Some(tail), is_busy: true };
    futures_util::stream::unfold(state, |mut state| async move {
        loop {
            if let Some(line) = state.ready.pop_front() {
                return Some((line, state));
            }
            if !state.is_busy {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            // Disks can be slow, and the state comes back with the lines. An error is the end of the runtime.
            state = tokio::task::spawn_blocking(move || state.look()).await.ok()?;
        }
    })
}

fn tail_of(stream: LogStream, path: &Path, lines: usize) -> io::Result<VecDeque<LogLine>> {
    let mut tail = VecDeque::new();
    if lines == 0 {
        return Ok(tail);
    }
    let Some(mut file) = open(path)? else { return Ok(tail) };
    let start = start_of_tail(&mut file, lines)?;
    file.seek(SeekFrom::Start(start))?;
    // Bounded, although the server may be printing faster than we read.
    let mut rest = file.take(FARTHEST_BACK + BLOCK as u64);
    let mut splitter = LineSplitter::new(stream);
    let mut block = vec![0; BLOCK];
    loop {
        let count = rest.read(&mut block)?;
        if count == 0 {
            splitter.finish(&mut tail);
        }
        splitter.feed(&block[..count], &mut tail);
        let surplus = tail.len().saturating_sub(lines);
        tail.drain(..surplus);
        if count == 0 {
            return Ok(tail);
        }
    }
}

/// Returns where rotation puts the content of a log that became large.
fn rotated(path: &Path) -> PathBuf {
    let mut text = path.as_os_str().to_os_string();
    text.push(".1");
    PathBuf::from(text)
}

fn chosen(files: &OutputFiles, stream: LogStream) -> impl Iterator<Item = (LogStream, PathBuf)> {
    let stdout = files.stdout.clone().filter(|_| stream != LogStream::Stderr).map(|path| (LogStream::Stdout, path));
    let stderr = files.stderr.clone().filter(|_| stream != LogStream::Stdout).map(|path| (LogStream::Stderr, path));
    stdout.into_iter().chain(stderr)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds where the last `lines` lines begin, without reading more than [`FARTHEST_BACK`].
fn start_of_tail(file: &mut File, lines: usize) -> io::Result<u64> {
    let end = file.metadata()?.len();
    let farthest = end.saturating_sub(FARTHEST_BACK);
    let mut block = vec![0; BLOCK];
    let mut at = end;
    let mut seen = 0;
    while at > farthest {
        let from = at.saturating_sub(BLOCK as u64).max(farthest);
        file.seek(SeekFrom::Start(from))?;
        let count = fill(&mut file.take(at - from), &mut block)?;
        for index in (0..count).rev() {
            // The end of the last line is not the end of one before it.
            let is_last_byte = from + index as u64 + 1 == end;
            if block[index] == b'\n' && !is_last_byte {
                seen += 1;
                if seen >= lines {
                    return Ok(from + index as u64 + 1);
                }
            }
        }
        at = from;
    }
    Ok(farthest)
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match input.read(&mut buffer[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

/// Makes lines of bytes, holding at most one line of bounded length.
struct LineSplitter {
    stream: LogStream,
    line: Vec<u8>,
    /// The rest of the present line is left out.
    cut: bool,
}

impl LineSplitter {
    fn new(stream: LogStream) -> Self {
        Self { stream, line: Vec::new(), cut: false }
    }

    fn feed(&mut self, bytes: &[u8], lines: &mut VecDeque<LogLine>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            self.cut |= text.len() > room;
            if ended {
                self.end_line(lines);
            }
        }
    }

    /// Takes what there is of an unfinished line for a line.
    fn finish(&mut self, lines: &mut VecDeque<LogLine>) {
        if self.is_inside_line() {
            self.end_line(lines);
        }
    }

    fn is_inside_line(&self) -> bool {
        self.cut || !self.line.is_empty()
    }

    fn end_line(&mut self, lines: &mut VecDeque<LogLine>) {
        let mut text = readable(&String::from_utf8_lossy(&self.line));
        if self.cut {
            text.push_str(CUT_MARK);
        }
        lines.push_back(LogLine { stream: self.stream, text });
        self.line.clear();
        self.cut = false;
    }
}

/// What a stream of lines carries from one look to the next.
struct Following {
    followers: Vec<Follower>,
    ready: VecDeque<LogLine>,
    /// The number of old lines to begin with; `None` after the first look.
    begin: Option<usize>,
    /// The last look brought something, so there may be more.
    is_busy: bool,
}

impl Following {
    fn look(mut self) -> Self {
        let begin = self.begin.take();
        self.is_busy = false;
        for follower in &mut self.followers {
            if let Some(tail) = begin {
                follower.begin(tail);
            }
            // An unreadable file is looked at again later, as one that is not there yet.
            self.is_busy |= follower.look(&mut self.ready).unwrap_or(false);
        }
        self
    }
}

/// Follows one file.
struct Follower {
    path: PathBuf,
    splitter: LineSplitter,
    open: Option<OpenLog>,
    /// What a rotation moved away before it was read.
    rest: Option<OpenLog>,
    /// The file that the last rotation made.
    last_rotated: Option<FileIdentity>,
    /// Looks in a row that brought nothing.
    quiet: u32,
}

struct OpenLog {
    file: File,
    /// The file that the path meant when it was opened.
    identity: FileIdentity,
    offset: u64,
}

/// Device and inode.
type FileIdentity = (u64, u64);

impl Follower {
    fn new(stream: LogStream, path: PathBuf) -> Self {
        Self { path, splitter: LineSplitter::new(stream), open: None, rest: None, last_rotated: None, quiet: 0 }
    }

    /// Opens the file, where there is one, at its last `tail` lines.
    fn begin(&mut self, tail: usize) {
        let opened = open(&self.path).and_then(|file| {
            let Some(mut file) = file else { return Ok(None) };
            let offset = if tail == 0 { file.metadata()?.len() } else { start_of_tail(&mut file, tail)? };
            OpenLog::at(file, offset).map(Some)
        });
        self.open = opened.unwrap_or(None);
        self.last_rotated = identity_of(&rotated(&self.path));
    }

    /// Takes what is new, at most one block, and returns whether there was anything.
    fn look(&mut self, lines: &mut VecDeque<LogLine>) -> io::Result<bool> {
        self.note_rotation()?;
        let mut found = self.read_on(lines)?;
        if !found && self.is_replaced() {
            // The old file was read to its end.
            self.splitter.finish(lines);
            self.open = open(&self.path)?.map(|file| OpenLog::at(file, 0)).transpose()?;
            found = self.read_on(lines)?;
        }
        self.quiet = if found { 0 } else { self.quiet.saturating_add(1) };
        if self.quiet == PATIENCE {
            self.splitter.finish(lines);
        }
        Ok(found)
    }

    /// Notices that the log was copied away and emptied in place, however much it has grown again.
    fn note_rotation(&mut self) -> io::Result<()> {
        let path = rotated(&self.path);
        let newest = identity_of(&path);
        if self.rest.is_some() || newest == self.last_rotated {
            return Ok(());
        }
        self.last_rotated = newest;
        // A log that was renamed is still the one that is open.
        if let Some(log) = self.open.as_mut().filter(|log| newest.is_some_and(|newest| newest != log.identity)) {
            self.rest = open(&path)?.map(|file| OpenLog::at(file, log.offset)).transpose()?;
            log.offset = 0;
        }
        Ok(())
    }

    fn read_on(&mut self, lines: &mut VecDeque<LogLine>) -> io::Result<bool> {
        if let Some(rest) = &mut self.rest {
            if rest.read_block(&mut self.splitter, lines)? {
                return Ok(true);
            }
            self.rest = None;
        }
        let Some(log) = &mut self.open else { return Ok(false) };
        let length = log.file.metadata()?.len();
        if length < log.offset {
            // Emptied in place: what was there is over, and it begins anew.
            self.splitter.finish(lines);
            log.offset = 0;
        }
        log.read_block(&mut self.splitter, lines)
    }

    /// Returns whether the path means another file than the one that is open.
    fn is_replaced(&self) -> bool {
        match (&self.open, identity_of(&self.path)) {
            (Some(log), Some(identity)) => log.identity != identity,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

impl OpenLog {
    fn at(file: File, offset: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { identity: (metadata.dev(), metadata.ino()), file, offset })
    }

    /// Reads at most one block from where it is, and returns whether there was anything.
    fn read_block(&mut self, splitter: &mut LineSplitter, lines: &mut VecDeque<LogLine>) -> io::Result<bool> {
        if self.file.metadata()?.len() <= self.offset {
            return Ok(false);
        }
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut block = vec![0; BLOCK];
        let count = fill(&mut self.file, &mut block)?;
        self.offset += count as u64;
        splitter.feed(&block[..count], lines);
        Ok(count > 0)
    }
}

/// Returns which file a path means; `None` when there is none.
fn identity_of(path: &Path) -> Option<FileIdentity> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;

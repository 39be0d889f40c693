//! The process table, read from `/proc`: what is there, without judging it.
//!
//! `/proc` is read directly: a look at the table reads two small files for each process, and the general parser
//! allocates for fifty fields of which six are of use here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::str;

use super::identity::Stamp;
use super::{INSTANCE_VARIABLE, LISTEN_VARIABLE, OWNER_VARIABLE};
use crate::launcher::LaunchError;

/// More of an environment is not read.
const LARGEST_ENVIRONMENT: u64 = 4 << 20;

/// One line of the process table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessRecord {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    /// When it started, in clock ticks since the boot.
    pub(crate) start_ticks: u64,
    /// Whether it runs; a zombie does not.
    pub(crate) alive: bool,
    /// Its resident memory, in pages.
    pub(crate) resident_pages: u64,
    /// Whether it has a terminal: a person's shell and what was started in it do.
    pub(crate) has_terminal: bool,
    /// What its environment says about whose it is, where that was read.
    pub(crate) marks: Option<Marks>,
    /// The files to which its standard and its error output are appended, where that was read.
    pub(crate) appends_to: Vec<FileId>,
}

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns which file this is about.
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The marks in a process's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) owner: String,
    pub(crate) instance: String,
    pub(crate) listen: Option<String>,
}

impl ProcessRecord {
    /// Returns who it is.
    pub(crate) const fn stamp(&self) -> Stamp {
        Stamp { pid: self.pid, start_ticks: self.start_ticks }
    }
}

/// Whose marks and outputs to read: that is the costly half of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkScope {
    /// Nobody's.
    None,
    /// Those of processes that started at this tick or later.
    StartedSince(u64),
    /// Everybody's.
    All,
}

impl MarkScope {
    const fn holds(self, record: &ProcessRecord) -> bool {
        match self {
            Self::None => false,
            Self::StartedSince(ticks) => record.alive && record.start_ticks >= ticks,
            Self::All => record.alive,
        }
    }
}

/// Reads the whole table. What ends meanwhile is left out.
pub(crate) fn read_table(scope: MarkScope) -> io::Result<Vec<ProcessRecord>> {
    let mut table = Vec::new();
    for pid in process_ids()? {
        // A process that ended, or whose line cannot be read, is none that could be acted on.
        let Ok(Some(mut record)) = read_record(pid) else { continue };
        if scope.holds(&record) {
            record.marks = read_marks(pid);
            // Whoever carries marks needs no other sign.
            if record.marks.is_none() {
                record.appends_to = read_outputs(pid);
            }
        }
        table.push(record);
    }
    Ok(table)
}

/// Returns the number of every process there is.
pub(crate) fn process_ids() -> io::Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// Reads the line of one process, without its marks; `None` when there is no such process.
pub(crate) fn read_record(pid: u32) -> io::Result<Option<ProcessRecord>> {
    let mut line = [0_u8; 1024];
    let length = match File::open(format!("/proc/{pid}/stat")).and_then(|mut file| read_up_to(&mut file, &mut line)) {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_such_process(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let record = parse_record(line.get(..length).unwrap_or_default());
    record.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("`/proc/{pid}/stat` has an unknown form")))
}

/// Wraps what kept the table from being read.
pub(crate) fn table_error(source: io::Error) -> LaunchError {
    LaunchError::System { action: "read the process table from `/proc`", source }
}

fn is_no_such_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

/// Parses a line of `/proc/PID/stat`. The second field is the program's name in parentheses, any bytes in it.
fn parse_record(line: &[u8]) -> Option<ProcessRecord> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let pid = str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    let rest = str::from_utf8(line.get(name_end + 1..)?).ok()?;
    // Numbered as in proc(5): the state is field 3.
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(22).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |position| -> Option<u32> { Some(field(position)?.parse::<i32>().ok()?.try_into().unwrap_or(0)) };
    let threads: i64 = field(20)?.parse().ok()?;
    let ended = matches!(field(3)?, "Z" | "X" | "x");
    Some(ProcessRecord {
        pid,
        parent: number(4)?,
        group: number(5)?,
        session: number(6)?,
        start_ticks: field(22)?.parse().ok()?,
        // A process whose first thread ended looks like a zombie, and its other threads run on.
        alive: !ended || threads > 1,
        resident_pages: field(24)?.parse::<i64>().ok()?.try_into().unwrap_or(0),
        has_terminal: field(7)? != "0",
        marks: None,
        appends_to: Vec::new(),
    })
}

fn read_marks(pid: u32) -> Option<Marks> {
    let mut environment = Vec::new();
    // Not readable: another user's process, so none that we started.
    File::open(format!("/proc/{pid}/environ")).ok()?.take(LARGEST_ENVIRONMENT).read_to_end(&mut environment).ok()?;
    parse_marks(&environment)
}

/// Returns whether a process does not say yet whose it is: for a moment of its start its environment is empty, as nobody's is
/// whom we start.
pub(crate) fn is_silent_yet(pid: u32) -> bool {
    let mut byte = [0];
    File::open(format!("/proc/{pid}/environ")).and_then(|mut file| file.read(&mut byte)).is_ok_and(|length| length == 0)
}

/// Reads which files the outputs of a process of our own user are appended to. Another user's process is none that we
/// started.
fn read_outputs(pid: u32) -> Vec<FileId> {
    let is_our_users = fs::metadata(format!("/proc/{pid}")).is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
    if !is_our_users {
        return Vec::new();
    }
    let files = ["1", "2"].into_iter().filter_map(|descriptor| {
        let metadata = fs::metadata(format!("/proc/{pid}/fd/{descriptor}")).ok().filter(fs::Metadata::is_file)?;
        let state = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).ok()?;
        appends(&state).then(|| FileId::of(&metadata))
    });
    files.collect()
}

/// Returns whether `/proc/PID/fdinfo/N` shows a descriptor that was opened for appending.
fn appends(state: &str) -> bool {
    let flags = state.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| flags & rustix::fs::OFlags::APPEND.bits() != 0)
}

/// Finds the marks in an environment as `/proc/PID/environ` shows it. Of two with the same name the first counts.
fn parse_marks(environment: &[u8]) -> Option<Marks> {
    let value = |name: &str| {
        let mut entries = environment.split(|byte| *byte == 0);
        let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        String::from_utf8(value.to_vec()).ok()
    };
    Some(Marks { owner: value(OWNER_VARIABLE)?, instance: value(INSTANCE_VARIABLE)?, listen: value(LISTEN_VARIABLE) })
}

#[cfg(test)]
mod tests;

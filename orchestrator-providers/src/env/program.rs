//! Runs one program of a build: in its own process group, with a deadline, ended as a whole when it is cancelled.
//!
//! Owns: starting, reading what it says line by line and bounded, ending it. Does not own: what its words mean.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock;
use super::log::without_credentials;

/// Longer lines are cut, in bytes.
const LONGEST_LINE: usize = 4096;
/// How many of the last lines are remembered.
const TAIL: usize = 80;
/// How many lines of the standard output are remembered.
const MOST_OUTPUT: usize = 400;

/// Variables of ours or of a shell that would lead Python or the installer somewhere else.
const UNWANTED: [&str; 6] = ["PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__"];

/// A program to run.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Variables on top of what it inherits.
    pub(crate) variables: Vec<(&'static str, OsString)>,
    /// The folder it runs in.
    pub(crate) directory: PathBuf,
    /// Becomes its standard input, so that the lock on it is held as long as the program lives.
    pub(crate) keeps: Option<File>,
    /// How long it may take.
    pub(crate) limit: Duration,
}

impl Program {
    /// Describes a program that is run in the root folder and answers soon.
    pub(crate) fn quick<I: IntoIterator<Item = A>, A: Into<OsString>>(path: impl Into<PathBuf>, arguments: I) -> Self {
        Self {
            path: path.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            directory: PathBuf::from("/"),
            keeps: None,
            limit: clock::QUICK,
        }
    }

    /// Returns the command as a person would type it, for the log.
    pub(crate) fn shown(&self) -> String {
        let arguments: Vec<_> = self.arguments.iter().map(|argument| argument.to_string_lossy().replace('\n', "; ")).collect();
        without_credentials(&format!("{} {}", self.path.display(), arguments.join(" ")))
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) enum ProgramEnd {
    /// By itself.
    Exited(ProgramOutput),
    /// It took too long and was killed.
    TimedOut(ProgramOutput),
    /// It was killed because nobody wants it any more.
    Cancelled,
}

/// What a program said.
#[derive(Debug, Default)]
pub(crate) struct ProgramOutput {
    /// Its status; `None` when it was killed.
    pub(crate) status: Option<ExitStatus>,
    /// The first lines of its standard output.
    pub(crate) stdout: Vec<String>,
    tail: VecDeque<String>,
}

impl ProgramOutput {
    /// Returns whether it ended with status 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Returns its last line that says something, or how it ended.
    pub(crate) fn last_words(&self) -> String {
        let last = self.tail.iter().rev().find(|line| !line.trim().is_empty());
        let ended = || self.status.map_or_else(|| "it was killed".to_owned(), |status| status.to_string());
        last.map_or_else(ended, |line| line.trim().to_owned())
    }

    /// Returns the last lines of both outputs.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    fn take(&mut self, line: String, from_stdout: bool) {
        if from_stdout && self.stdout.len() < MOST_OUTPUT {
            self.stdout.push(line.clone());
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// Runs a program to its end. Every line it says, without credentials, goes to `on_line` too.
pub(crate) async fn run(program: Program, cancel: &CancellationToken, on_line: &mut (dyn FnMut(&str) + Send)) -> io::Result<ProgramEnd> {
    if cancel.is_cancelled() {
        return Ok(ProgramEnd::Cancelled);
    }
    let deadline = Instant::now() + program.limit;
    let mut running = Running::start(program).await?;
    let (mut stdout, mut stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let (mut stdout_lines, mut stderr_lines) = (Lines::default(), Lines::default());
    let (mut stdout_bytes, mut stderr_bytes) = (vec![0; 8192], vec![0; 8192]);
    let mut output = ProgramOutput::default();
    let mut drained = deadline;

    // Every arm is cancel-safe: a read that loses takes no byte, a wait that loses is asked again.
    while output.status.is_none() || stdout.is_some() || stderr.is_some() {
        tokio::select! {
            read = read_some(&mut stdout, &mut stdout_bytes), if stdout.is_some() => {
                let bytes = &stdout_bytes[..read.unwrap_or(0)];
                if bytes.is_empty() {
                    stdout = None;
                }
                stdout_lines.push(bytes, &mut |line| { on_line(&line); output.take(line, true); });
            }
            read = read_some(&mut stderr, &mut stderr_bytes), if stderr.is_some() => {
                let bytes = &stderr_bytes[..read.unwrap_or(0)];
                if bytes.is_empty() {
                    stderr = None;
                }
                stderr_lines.push(bytes, &mut |line| { on_line(&line); output.take(line, false); });
            }
            status = running.child.wait(), if output.status.is_none() => {
                output.status = Some(status?);
                running.group = None;
                drained = Instant::now() + clock::DRAIN;
            }
            () = cancel.cancelled(), if output.status.is_none() => {
                running.end().await;
                return Ok(ProgramEnd::Cancelled);
            }
            () = tokio::time::sleep_until(drained) => {
                if output.status.is_none() {
                    running.end().await;
                    return Ok(ProgramEnd::TimedOut(output));
                }
                break;
            }
        }
    }
    Ok(ProgramEnd::Exited(output))
}

async fn read_some(pipe: &mut Option<impl AsyncReadExt + Unpin>, bytes: &mut [u8]) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read(bytes).await,
        None => std::future::pending().await,
    }
}

/// A program that runs. Dropping it kills its whole group.
struct Running {
    /// The group, while its leader was not waited for: so long its number is nobody else's.
    group: Option<Pid>,
    child: Child,
}

impl Running {
    async fn start(program: Program) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).current_dir(&program.directory).envs(program.variables);
        for name in UNWANTED {
            command.env_remove(name);
        }
        // A terminal of ours must not colour what we read.
        command.env("NO_COLOR", "1").process_group(0).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(program.keeps.map_or_else(Stdio::null, Stdio::from));
        let child = spawn(&mut command).await?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { group, child })
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails only when nobody is left.
            kill_process_group(group, signal).ok();
        }
    }

    /// Asks the group to end, then kills it.
    async fn end(&mut self) {
        self.signal(Signal::TERM);
        // The status is not taken here: as long as the leader is not waited for, the group's number stays ours.
        let gone = tokio::time::timeout(clock::GRACE, self.group_is_gone());
        if gone.await.is_err() {
            self.signal(Signal::KILL);
        }
        drop(self.child.wait().await);
        self.group = None;
    }

    /// Waits until the leader has ended, without taking its status.
    async fn group_is_gone(&self) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let Some(leader) = self.group else { return };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(leader), look), Ok(None)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // What the leader leaves behind in its group must not go on writing.
        self.signal(Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Starts a command. A file that was just written may still be open in a child that another thread is starting;
/// the system then says that it is busy, for a moment.
async fn spawn(command: &mut Command) -> io::Result<Child> {
    const TRIES: u32 = 50;
    for _ in 0..TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other,
        }
    }
    command.spawn()
}

/// Splits bytes into lines of readable text.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes; none at all means the end.
    fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(String)) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                self.finish(on_line);
            } else if self.begun.len() < LONGEST_LINE {
                self.begun.push(byte);
            }
        }
        if bytes.is_empty() {
            self.finish(on_line);
        }
    }

    fn finish(&mut self, on_line: &mut dyn FnMut(String)) {
        if !self.begun.is_empty() {
            let text = String::from_utf8_lossy(&self.begun);
            let text: String = text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
            on_line(without_credentials(&text));
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests;

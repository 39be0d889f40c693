//! A short program of somebody else's, such as a health check: run to its end, or killed with everything it started.
//!
//! It carries marks of its own, so that what it left is found when we were killed while it ran.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::ending::end_all;
use super::identity::{ProcessHandle, Stamp};
use super::output::readable;
use super::spawn::is_held_back;
use super::table::MarkScope;
use super::tree::Kin;
use super::{INSTANCE_VARIABLE, OWNER_VARIABLE};
use crate::launcher::{LaunchError, OutputFiles};
use crate::names::InstanceName;

/// How much of the end of its output is kept, in bytes.
const KEPT_OUTPUT: usize = 4 * 1024;
/// What a pipe holds at most, unless somebody made it larger.
const LARGEST_PIPE: usize = 64 * 1024;
/// The longest line that is told, in characters.
const LONGEST_LINE: usize = 300;

/// What to run.
#[derive(Debug)]
pub(crate) struct CommandOrder {
    /// Its mark; not that of servers.
    pub(crate) owner_tag: Arc<str>,
    /// The instance it is run for, which it finds in its environment.
    pub(crate) instance: InstanceName,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Variables set on top of what it inherits.
    pub(crate) variables: BTreeMap<String, String>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    Exited(i32),
    /// A signal ended it, and it was not ours.
    Killed(i32),
    /// It was killed because it took too long.
    TimedOut,
    /// It was killed because nobody waits for it any more.
    GivenUp,
}

/// How it ended, and the last thing it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandReport {
    pub(crate) end: CommandEnd,
    /// The last line of its output that is not empty.
    pub(crate) last_line: String,
}

impl CommandOrder {
    /// Ends what earlier runs left when we were killed.
    pub(crate) async fn end_leftovers(&self) {
        if let Err(error) = self.end_tree(None).await {
            tracing::warn!(program = %self.program.display(), %error, "what an earlier command left could not be ended");
        }
    }

    /// Runs it. Must be driven to its end: dropped halfway it may leave processes behind.
    pub(crate) async fn run(&self, timeout: Duration, given_up: impl Future<Output = ()>) -> io::Result<CommandReport> {
        let (mut child, mut output) = self.start()?;
        let stamp = child.id().and_then(|pid| ProcessHandle::open_child(pid).ok()).map(|handle| handle.stamp());
        let mut tail = VecDeque::new();
        let ended = tokio::select! {
            status = until_end(&mut child, &mut output, &mut tail) => Ok(status?),
            () = tokio::time::sleep(timeout) => Err(CommandEnd::TimedOut),
            () = given_up => Err(CommandEnd::GivenUp),
        };
        let end = match ended {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => CommandEnd::Exited(code),
                (None, signal) => CommandEnd::Killed(signal.unwrap_or_default()),
            },
            Err(end) => {
                if let Err(error) = self.end_tree(stamp).await {
                    tracing::warn!(program = %self.program.display(), %error, "a command could not be ended");
                }
                // Whatever could not be seen of its tree: it itself is ended and reaped.
                child.kill().await?;
                end
            }
        };
        read_rest(File::from(output.into_nonblocking_fd()?), &mut tail)?;
        Ok(CommandReport { end, last_line: last_line(tail.make_contiguous()) })
    }

    fn start(&self) -> io::Result<(Child, Receiver)> {
        let (reader, writer) = io::pipe()?;
        let mut command = std::process::Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_held_back(name)) {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(&self.variables)
            .env(OWNER_VARIABLE, &*self.owner_tag)
            .env(INSTANCE_VARIABLE, self.instance.as_str())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let child = Command::from(command).kill_on_drop(true).spawn()?;
        Ok((child, Receiver::from_owned_fd(OwnedFd::from(reader))?))
    }

    async fn end_tree(&self, leader: Option<Stamp>) -> Result<usize, LaunchError> {
        let kin = Kin::new(Arc::clone(&self.owner_tag), self.instance.clone(), leader, OutputFiles::default());
        end_all(&Arc::new(kin), MarkScope::All, Duration::ZERO).await
    }
}

/// Reads what the child says until it has ended.
async fn until_end(child: &mut Child, output: &mut Receiver, tail: &mut VecDeque<u8>) -> io::Result<ExitStatus> {
    let mut is_open = true;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            ready = output.readable(), if is_open => {
                ready?;
                let mut block = [0; KEPT_OUTPUT];
                is_open = match output.try_read(&mut block) {
                    Ok(count) => keep(tail, block.get(..count).unwrap_or_default()) > 0,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                    Err(error) => return Err(error),
                };
            }
        }
    }
}

/// Reads what was said before the end, and waits for nothing: what the command started may hold the other end.
fn read_rest(mut output: File, tail: &mut VecDeque<u8>) -> io::Result<()> {
    let mut block = [0; KEPT_OUTPUT];
    for _ in 0..LARGEST_PIPE / KEPT_OUTPUT {
        match output.read(&mut block) {
            Ok(0) => break,
            Ok(count) => keep(tail, block.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

/// Keeps the end of what was said; returns how much came.
fn keep(tail: &mut VecDeque<u8>, bytes: &[u8]) -> usize {
    tail.extend(bytes);
    let surplus = tail.len().saturating_sub(KEPT_OUTPUT);
    tail.drain(..surplus);
    bytes.len()
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    readable(line).chars().take(LONGEST_LINE).collect()
}

#[cfg(test)]
mod tests;

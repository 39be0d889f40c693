//! Ollama's own command line, for where its API is not reached at the address that we know.
//!
//! Owns: running it with a deadline, and reading what it says without trusting it. Does not own: starting a server — the
//! command asks one too, and says so when there is none.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::name::LibraryName;
use crate::env::{Program, ProgramEnd, ProgramOutput, is_program, on_search_path, run as run_program};
use crate::settings::ProviderSettings;

/// The name of the program.
const PROGRAM: &str = "ollama";
/// How long a pull may take.
const PULL: Duration = Duration::from_hours(24);
/// How long it may take to answer something small.
const ANSWER: Duration = Duration::from_secs(30);
/// What it says when there is no server to ask.
const NO_SERVER: [&str; 4] = ["could not connect", "connection refused", "ollama server not responding", "is it running"];

/// Why the command line did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// It cannot be run.
    #[error("`{program}` cannot be run: {reason}")]
    Unusable {
        /// The program.
        program: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It asks a server that is not there.
    #[error("`{PROGRAM}` finds no running Ollama: {said}")]
    NoServer {
        /// Its own words.
        said: String,
    },
    /// It failed.
    #[error("`{PROGRAM} {command}` failed: {said}")]
    Failed {
        /// What was asked of it.
        command: &'static str,
        /// Its own words.
        said: String,
    },
    /// It took too long.
    #[error("`{PROGRAM} {command}` took too long")]
    TimedOut {
        /// What was asked of it.
        command: &'static str,
    },
    /// Whoever asked for it no longer wants it.
    #[error("cancelled")]
    Cancelled,
}

/// How far the command says a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandProgress {
    /// The first digits of the layer's digest.
    pub(super) layer: String,
    /// How much of it is there, in hundredths.
    pub(super) percent: u64,
}

/// Ollama's command line.
#[derive(Debug, Clone)]
pub(super) struct Command {
    program: PathBuf,
    host: String,
}

impl Command {
    /// Finds it on the search path. `host` is the address it is to ask.
    pub(super) fn find(settings: &ProviderSettings, host: String) -> Option<Self> {
        let program = on_search_path(&settings.search_path, PROGRAM).into_iter().find(|path| is_program(path))?;
        Some(Self { program, host })
    }

    /// Returns the program's file.
    pub(super) fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Has it pull a model. `heard` is told how far it is.
    pub(super) async fn pull(
        &self,
        name: &LibraryName,
        cancel: &CancellationToken,
        heard: &mut (dyn FnMut(&CommandProgress) + Send),
    ) -> Result<(), CommandError> {
        let mut on_line = |line: &str| {
            if let Some(progress) = progress_of(line) {
                heard(&progress);
            }
        };
        self.run("pull", &[name.to_string()], (PULL, cancel), &mut on_line).await.map(drop)
    }

    /// Returns the description that a model is made from; `None`, where there is no such model.
    pub(super) async fn model_file(&self, name: &LibraryName) -> Result<Option<String>, CommandError> {
        let arguments = ["--modelfile".to_owned(), name.to_string()];
        match self.run("show", &arguments, (ANSWER, &CancellationToken::new()), &mut |_| {}).await {
            Ok(output) => Ok(Some(output.stdout.join("\n"))),
            Err(CommandError::Failed { said, .. }) if said.contains("not found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a model. Returns whether there was one.
    pub(super) async fn remove(&self, name: &LibraryName) -> Result<bool, CommandError> {
        match self.run("rm", &[name.to_string()], (ANSWER, &CancellationToken::new()), &mut |_| {}).await {
            Ok(_) => Ok(true),
            Err(CommandError::Failed { said, .. }) if said.contains("not found") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn run(
        &self,
        command: &'static str,
        arguments: &[String],
        (limit, cancel): (Duration, &CancellationToken),
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ProgramOutput, CommandError> {
        let arguments: Vec<OsString> = std::iter::once(command.to_owned()).chain(arguments.iter().cloned()).map(OsString::from).collect();
        let variables = vec![("OLLAMA_HOST", OsString::from(&self.host)), ("TERM", OsString::from("dumb"))];
        let program = Program { variables, limit, ..Program::quick(&self.program, arguments) };
        tracing::debug!(command = program.shown(), "running Ollama's command line");
        let unusable = |error: std::io::Error| CommandError::Unusable { program: self.program.clone(), reason: error.to_string() };
        match run_program(program, cancel, on_line).await.map_err(unusable)? {
            ProgramEnd::Cancelled => Err(CommandError::Cancelled),
            ProgramEnd::TimedOut(_) => Err(CommandError::TimedOut { command }),
            ProgramEnd::Exited(output) if output.succeeded() => Ok(output),
            ProgramEnd::Exited(output) => Err(failure(command, &output)),
        }
    }
}

fn failure(command: &'static str, output: &ProgramOutput) -> CommandError {
    let said = plain(&output.last_words());
    let all = output.last_lines().join("\n").to_lowercase();
    if NO_SERVER.iter().any(|words| all.contains(words)) { CommandError::NoServer { said } } else { CommandError::Failed { command, said } }
}

/// Reads a line such as `pulling 7f4030143c1c:  45% ▕███   ▏ 234 MB/522 MB`. Orders to a terminal stand between the words.
pub(super) fn progress_of(line: &str) -> Option<CommandProgress> {
    let line = plain(line);
    let (_, after) = line.split_once("pulling ")?;
    let layer: String = after.chars().take_while(char::is_ascii_hexdigit).collect();
    let (before, _) = after.split_once('%')?;
    let digits = before.chars().rev().take_while(char::is_ascii_digit).count();
    let percent: u64 = before[before.len() - digits..].parse().ok()?;
    (layer.len() >= 8 && layer.len() <= 64 && percent <= 100).then(|| CommandProgress { layer: layer.to_ascii_lowercase(), percent })
}

/// Takes the orders to a terminal out of a line whose control characters were made visible: `\u{fffd}[…m` and the like.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\u{fffd}' && letter != '\u{1b}' {
            plain.push(letter);
        } else if letters.next_if_eq(&'[').is_some() {
            while letters.next_if(|c| c.is_ascii_digit() || matches!(c, ';' | '?')).is_some() {}
            letters.next_if(char::is_ascii_alphabetic);
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_between_orders_to_a_terminal() {
        let progress = |layer: &str, percent| Some(CommandProgress { layer: layer.to_owned(), percent });
        for (line, expected) in [
            ("pulling 7f4030143c1c:  45% ▕███   ▏ 234 MB/522 MB  12 MB/s  24s", progress("7f4030143c1c", 45)),
            ("\u{fffd}[?25l\u{fffd}[2K\u{fffd}[1Gpulling 7f4030143c1c... 100% ▕████▏ 522 MB", progress("7f4030143c1c", 100)),
            ("pulling manifest ⠋", None),
            ("pulling 7f4030143c1c: 450%", None),
            ("pulling zz: 4%", None),
            ("verifying sha256 digest", None),
            ("%", None),
            ("", None),
        ] {
            assert_eq!(progress_of(line), expected, "{line}");
        }
    }
}

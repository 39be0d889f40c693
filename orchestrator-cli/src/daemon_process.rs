//! The daemon as a process of its own: found, or started in the background and waited for.
//!
//! Several commands may do this at the same moment. Each starts a daemon, the lock of the home lets one of them
//! live, and the others find it through its socket.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::event::Timestamp;
use orchestrator_core::{Problem, home_failure};
use orchestrator_server::Client;
use serde::Deserialize;

use crate::error::CommandError;
use crate::home::Home;

/// How long a daemon may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How long a daemon may take to answer in the place of another, which may have to see the ends of servers first.
const REPLACE_DEADLINE: Duration = Duration::from_secs(150);
/// How often the socket is asked.
const POLL: Duration = Duration::from_millis(20);
/// How many of the last lines of its log explain a failed start.
const LOG_LINES: usize = 15;
/// How much of the log is read for them.
const LOG_BYTES: u64 = 64 * 1024;
/// The status `serve` ends with when somebody else owns the home.
const OWNED: i32 = ErrorCode::HomeOwned.exit_code() as i32;

/// The way to a daemon that answers.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    /// The way to it.
    pub(crate) client: Client,
    /// Whether this process started it.
    pub(crate) by_us: bool,
}

/// Why the daemon could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("could not write the daemon's log `{path}`")]
    Log { path: PathBuf, source: std::io::Error },
    #[error("could not start the daemon `{program}`")]
    Spawn { program: PathBuf, source: std::io::Error },
}

impl Coded for StartError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Log { source, .. } => home_failure::code(source),
            Self::Spawn { .. } => ErrorCode::DaemonStartFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Log { path, source } => Some(home_failure::way_out(path, source)),
            Self::Spawn { .. } => None,
        }
    }
}

/// Returns the way to the daemon of a home; starts it when there is none.
pub(crate) async fn ensure_running(home: &Home, verbosity: u8) -> Result<Started, CommandError> {
    let client = Client::unix(home.paths.socket());
    if answers(&client).await {
        tracing::info!(socket = %client.target(), "the daemon is there");
        return Ok(Started { client, by_us: false });
    }
    let deadline = Instant::now() + START_DEADLINE;
    let mut attempt = Attempt::begin(home, verbosity, &[])?;
    let mut last_exit = None;
    loop {
        if answers(&client).await {
            let by_us = attempt.exit().is_none();
            tracing::info!(by_us, "the daemon answers");
            return Ok(Started { client, by_us });
        }
        if let Some(status) = attempt.exit() {
            if status.code() != Some(OWNED) {
                return Err(attempt.failure(&format!("it ended with {status}")).into());
            }
            // Somebody else owns the home: a daemon that is about to answer, or one that is about to end.
            last_exit = Some(attempt.failure("somebody else owns the home, and does not answer"));
            tokio::time::sleep(POLL * 5).await;
            if !answers(&client).await {
                attempt = Attempt::begin(home, verbosity, &[])?;
            }
        }
        if Instant::now() > deadline {
            return Err(last_exit.unwrap_or_else(|| attempt.failure("it does not answer")).into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Starts a daemon that takes the place of the one that runs, if any, and returns the way to it.
///
/// On an error the one that ran goes on.
pub(crate) async fn replace(home: &Home, verbosity: u8) -> Result<Started, CommandError> {
    let client = Client::unix(home.paths.socket());
    let deadline = Instant::now() + REPLACE_DEADLINE;
    let mut attempt = Attempt::begin(home, verbosity, &["--take-over"])?;
    let pid = attempt.process.id();
    loop {
        if client.status().await.is_ok_and(|status| status.pid == pid) {
            return Ok(Started { client, by_us: true });
        }
        if let Some(status) = attempt.exit() {
            return Err(attempt.failure(&format!("it ended with {status}")).into());
        }
        if Instant::now() > deadline {
            return Err(attempt.failure("it does not answer").into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Returns whether a daemon serves there, and is not about to end.
async fn answers(client: &Client) -> bool {
    client.health().await.is_ok_and(|health| health.status == "ok")
}

/// One daemon that was started and may or may not live.
struct Attempt {
    process: Child,
    log: PathBuf,
    log_start: u64,
}

impl Attempt {
    fn begin(home: &Home, verbosity: u8, more: &[&str]) -> Result<Self, Problem> {
        let path = home.paths.daemon_log();
        let (log, log_start) = open_log(&path).map_err(|source| StartError::Log { path: path.clone(), source })?;
        let program = std::env::current_exe().map_err(|source| StartError::Spawn { program: PathBuf::from("orch"), source })?;
        let spawned = |source| StartError::Spawn { program: program.clone(), source };
        let mut command = Command::new(&program);
        // With `--json` its last words are a problem that can be read back.
        command.args(["serve", "--background", "--json"]).args(more);
        if let Some(directory) = &home.directory {
            command.arg("--home").arg(directory);
        }
        command.args((0..verbosity).map(|_| "-v"));
        let error_output = log.try_clone().map_err(spawned)?;
        command.stdin(Stdio::null()).stdout(log).stderr(error_output);
        tracing::info!(?program, log = %path.display(), "starting the daemon");
        let process = command.spawn().map_err(spawned)?;
        Ok(Self { process, log: path, log_start })
    }

    fn exit(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    fn failure(&self, cause: &str) -> Problem {
        let lines = last_lines(&self.log, self.log_start);
        if let Some(problem) = lines.iter().rev().find_map(|line| reported_problem(line)) {
            return problem;
        }
        let mut problem = Problem::new(ErrorCode::DaemonStartFailed, "the daemon did not come up").with_cause(cause);
        for line in lines {
            problem = problem.with_cause(line);
        }
        problem.with_hint(format!("its whole log is `{}`; `orch serve` runs it in the foreground", self.log.display()))
    }
}

/// What a command with `--json` writes when it fails.
#[derive(Deserialize)]
struct ErrorLine {
    error: Problem,
}

fn reported_problem(line: &str) -> Option<Problem> {
    serde_json::from_str::<ErrorLine>(line).ok().map(|line| line.error)
}

fn open_log(path: &Path) -> std::io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    // Where not even this can be written, the daemon could not tell why it ends.
    writeln!(log, "{} orch {} is started in the background", Timestamp::now(), env!("CARGO_PKG_VERSION"))?;
    let length = log.metadata()?.len();
    Ok((log, length))
}

/// Returns what was written to the log since `start`, as far as it fits a screen.
fn last_lines(path: &Path, start: u64) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut log = File::open(path)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(start.max(length.saturating_sub(LOG_BYTES))))?;
        let mut bytes = Vec::new();
        log.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::error;

    #[test]
    fn the_daemons_own_error_comes_back_as_it_was() {
        let problem = Problem::new(ErrorCode::StoreNewer, "the database is newer").with_hint("use a newer `orch`");
        assert_eq!(reported_problem(error::render_json(&problem).trim_end()), Some(problem));
        assert_eq!(reported_problem("error: bad"), None);
    }

    #[test]
    fn only_what_this_start_wrote_explains_its_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/daemon.log");
        drop(open_log(&path).unwrap());
        let (mut log, start) = open_log(&path).unwrap();
        log.write_all(b"\x1b[31mnew\x1b[0m\n\nerror: bad\n").unwrap();
        assert_eq!(last_lines(&path, start), ["new", "error: bad"]);
        std::fs::write(&path, "x\n".repeat(100)).unwrap();
        assert_eq!(last_lines(&path, 0).len(), LOG_LINES);
        assert!(last_lines(&folder.path().join("missing"), 0).is_empty());
    }
}

//! One way of reading texts, as a process that is started once and told by lines what to do.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Deserialize;

use crate::shell::TaskResult;

/// How long a driver may take for one answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The process ended.
    Crash,
    /// No answer within the deadline.
    Timeout,
}

impl Failure {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Timeout => "timeout",
        }
    }
}

/// How long a driver took, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    /// On the monotonic clock: what others do on the machine counts too.
    pub(crate) wall: f64,
    /// Of processor time: only its own work.
    pub(crate) processor: f64,
}

/// What a driver said about one text: nothing where it refused, the JSON it read otherwise.
#[derive(Deserialize)]
pub(crate) struct Answer {
    pub(crate) read: String,
}

/// What became of one text.
pub(crate) type Judged = Result<Option<Answer>, Failure>;

/// How a driver is started.
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<PathBuf>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Driver {
    pub(crate) const fn new(name: &'static str, program: PathBuf, arguments: Vec<PathBuf>) -> Self {
        Self { name, program, arguments, running: None }
    }

    /// Has it go through a case some times; returns how long it took.
    pub(crate) fn time(&mut self, case: &str, passes: u64) -> TaskResult<Result<Took, Failure>> {
        self.tell(&format!("time {case} {passes}"))?;
        match self.line()? {
            Ok(line) => {
                let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
                match numbers.as_slice() {
                    [wall, processor] => Ok(Ok(Took { wall: *wall, processor: *processor })),
                    _ => Err(format!("`{}` answered `{line}` instead of two times", self.name)),
                }
            }
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Has it read every text of a case.
    pub(crate) fn judge(&mut self, case: &str, texts: usize) -> TaskResult<Vec<Judged>> {
        let mut judged: Vec<Judged> = Vec::with_capacity(texts);
        while judged.len() < texts {
            self.tell(&format!("judge {case} {}", judged.len()))?;
            loop {
                match self.line()? {
                    Ok(line) if line == "end" => break,
                    Ok(line) => {
                        let answer = serde_json::from_str(&line).map_err(|error| format!("`{}` answered `{line}`: {error}", self.name))?;
                        judged.push(Ok(answer));
                    }
                    Err(failure) => {
                        // The text that did it is counted; the rest is for a new process.
                        judged.push(Err(failure));
                        break;
                    }
                }
            }
        }
        Ok(judged)
    }

    fn tell(&mut self, line: &str) -> TaskResult {
        let name = self.name;
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(start(name, &self.program, &self.arguments)?),
        };
        writeln!(running.input, "{line}").map_err(|error| format!("`{name}` takes no orders: {error}"))
    }

    fn line(&mut self) -> TaskResult<Result<String, Failure>> {
        let Some(running) = &self.running else { return Err(format!("`{}` does not run", self.name)) };
        let failure = match running.lines.recv_timeout(DEADLINE) {
            Ok(line) => return Ok(Ok(line)),
            Err(RecvTimeoutError::Timeout) => Failure::Timeout,
            Err(RecvTimeoutError::Disconnected) => Failure::Crash,
        };
        self.running = None;
        Ok(Err(failure))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(name: &str, program: &PathBuf, arguments: &[PathBuf]) -> TaskResult<Running> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("could not start the driver of `{name}`: {error}"))?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(format!("the driver of `{name}` has no pipes"));
    };
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(Running { child, input, lines })
}

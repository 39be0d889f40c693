//! The processes of a test: found by the path of its home, which stands in their command line or environment.

use std::path::Path;

use rustix::process::{Pid, Signal};

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// Finds the living processes that carry `mark` in their command line or environment, but for this one.
#[must_use]
pub fn carrying(mark: &Path) -> Vec<Process> {
    let mark = mark.as_os_str().as_encoded_bytes();
    let carries = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter_map(|pid| {
            // Empty for a zombie, unreadable for one that is gone or somebody else's.
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let command_text = String::from_utf8_lossy(&command).replace('\0', " ");
            (!command.is_empty() && (carries(&command) || carries(&environment))).then_some(Process { pid, command: command_text })
        })
        .collect()
}

/// Returns whether the process is there and no zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

/// Sends SIGKILL; a process that is gone is fine.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal; a process that is gone is fine.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).expect("no process has the id 0");
    let _ = rustix::process::kill_process(pid, signal);
}

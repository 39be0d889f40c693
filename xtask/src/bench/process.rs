//! What the system tells of a process: its processor time and its memory.

use std::fs;

use crate::shell::TaskResult;

/// Returns the nanoseconds of processor time that all threads of a process have used.
pub(crate) fn processor_nanos(pid: u32) -> TaskResult<f64> {
    let unknown = |error: std::io::Error| format!("the processor time of process {pid} is not told: {error}");
    let mut nanos = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(unknown)? {
        let text = fs::read_to_string(task.map_err(unknown)?.path().join("schedstat")).map_err(unknown)?;
        nanos += text.split(' ').next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(nanos)
}

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// All of it.
    pub(crate) resident: f64,
    /// What is its own: not the pages of its program, which all processes of that program share.
    pub(crate) anonymous: f64,
}

/// Returns the resident memory of a process.
pub(crate) fn memory(pid: u32) -> TaskResult<Memory> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("could not read the memory of {pid}: {error}"))?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).ok_or_else(|| format!("`{name}` of process {pid} is not told"))
    };
    Ok(Memory { resident: number("VmRSS:")?, anonymous: number("RssAnon:")? })
}

/// Returns the children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

//! Processors and memory, from `/proc` and the control groups.
//!
//! Owns: what the machine has besides GPUs, bounded by the container we may be in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Where the kernel tells of processors and memory.
#[derive(Debug, Clone)]
pub(super) struct Host {
    proc: PathBuf,
    cgroup: PathBuf,
    /// The processor's name, read once: it never changes, and reading it wakes every processor of the machine.
    known_cpu: Arc<OnceLock<Option<String>>>,
}

/// Memory of the machine, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HostMemory {
    pub(super) total: u64,
    pub(super) available: u64,
}

/// A limit of memory and how much of it is used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemoryLimit {
    limit: u64,
    used: u64,
}

impl Host {
    /// Reads below other roots than `/proc` and `/sys/fs/cgroup`.
    pub(super) fn at(proc: PathBuf, cgroup: PathBuf) -> Self {
        Self { proc, cgroup, known_cpu: Arc::default() }
    }

    /// Returns the processor's name.
    pub(super) fn cpu_name(&self) -> Option<String> {
        self.known_cpu.get_or_init(|| self.read_cpu_name()).clone()
    }

    fn read_cpu_name(&self) -> Option<String> {
        let text = fs::read_to_string(self.proc.join("cpuinfo")).ok()?;
        // ARM has no `model name`; some of its kernels name the board instead.
        let value = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        value("model name").or_else(|| value("Model")).or_else(|| value("Hardware")).filter(|name| !name.is_empty())
    }

    /// Returns the whole and the available memory: the machine's, or the narrowest limit's above us.
    pub(super) fn memory(&self) -> HostMemory {
        let text = fs::read_to_string(self.proc.join("meminfo")).unwrap_or_default();
        let mut total = meminfo(&text, "MemTotal").unwrap_or(0);
        let mut available = meminfo(&text, "MemAvailable").or_else(|| meminfo(&text, "MemFree")).unwrap_or(0);
        for limit in self.limits() {
            total = total.min(limit.limit);
            available = available.min(limit.limit.saturating_sub(limit.used));
        }
        HostMemory { total, available }
    }

    /// Returns the limits of every control group we are in, from our own up to the root.
    fn limits(&self) -> Vec<MemoryLimit> {
        let ours = fs::read_to_string(self.proc.join("self/cgroup")).unwrap_or_default();
        let mut limits = Vec::new();
        for line in ours.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let (root, files) = if controllers.is_empty() {
                (self.cgroup.clone(), ["memory.max", "memory.current", "inactive_file"])
            } else if controllers.split(',').any(|controller| controller == "memory") {
                (self.cgroup.join("memory"), ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"])
            } else {
                continue;
            };
            for folder in Path::new(path.trim_start_matches('/')).ancestors().filter(|part| !part.starts_with("..")) {
                limits.extend(limit_in(&root.join(folder), files));
            }
        }
        limits
    }
}

/// Reads the limit of one control group. `max`, or a number beyond every machine, is no limit.
fn limit_in(folder: &Path, [limit, used, inactive]: [&str; 3]) -> Option<MemoryLimit> {
    const NO_LIMIT: u64 = 1 << 60;
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    let limit = number(limit).filter(|limit| *limit < NO_LIMIT)?;
    // Pages of files count as used and are given back when somebody needs them.
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let given_back = stat.lines().filter_map(|line| line.split_once(' ')).find(|(key, _)| *key == inactive);
    let given_back = given_back.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0);
    Some(MemoryLimit { limit, used: number(used).unwrap_or(0).saturating_sub(given_back) })
}

/// Reads a line of `/proc/meminfo`, which counts in KiB.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name)?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests;

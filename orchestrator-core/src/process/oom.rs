//! Whether the kernel has killed programs for want of memory: its counters, compared with what they were.
//!
//! A killed program leaves no word, and its parent sees SIGKILL as it would from anybody else. The control group of the
//! server counts such kills among its own; where it does not, the whole machine does.

use std::fs;
use std::path::{Path, PathBuf};

/// Counters as they were at one moment, the most telling first.
#[derive(Debug)]
pub(crate) struct OomCounters(Vec<OomCounter>);

#[derive(Debug)]
struct OomCounter {
    file: PathBuf,
    before: u64,
}

impl OomCounters {
    /// Reads the counters that concern a process.
    pub(crate) fn of(pid: u32) -> Self {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        Self::read(group_files(&groups, Path::new("/sys/fs/cgroup")).into_iter().chain([PathBuf::from("/proc/vmstat")]))
    }

    fn read(files: impl Iterator<Item = PathBuf>) -> Self {
        Self(files.filter_map(|file| Some(OomCounter { before: kills_in(&file)?, file })).collect())
    }

    /// Returns whether there were kills since. The first counter that can still be read decides: a group may be gone
    /// together with its last process.
    pub(crate) fn have_risen(&self) -> bool {
        let told = self.0.iter().find_map(|counter| Some(kills_in(&counter.file)? > counter.before));
        told.unwrap_or(false)
    }
}

/// Returns the files in which the groups of a process count, as `/proc/PID/cgroup` names them.
fn group_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let files = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        if controllers.is_empty() {
            Some(root.join(path).join("memory.events"))
        } else if controllers.split(',').any(|controller| controller == "memory") {
            Some(root.join("memory").join(path).join("memory.oom_control"))
        } else {
            None
        }
    });
    files.collect()
}

/// Reads the line `oom_kill N`, which all these files have.
fn kills_in(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn the_files_of_both_kinds_of_groups_are_named() {
        let root = Path::new("/cg");
        assert_eq!(group_files("0::/user.slice/a.scope\n", root), [Path::new("/cg/user.slice/a.scope/memory.events")]);
        let old = "3:cpu,cpuacct:/x\n2:memory:/docker/1\n";
        assert_eq!(group_files(old, root), [Path::new("/cg/memory/docker/1/memory.oom_control")]);
        assert_eq!(group_files("nonsense\n0::/\n", root), [Path::new("/cg/memory.events")]);
    }

    #[test]
    fn a_rise_is_seen_and_the_first_counter_that_is_left_decides() {
        let folder = tempfile::tempdir().unwrap();
        let [group, machine] = ["memory.events", "vmstat"].map(|name| folder.path().join(name));
        fs::write(&group, "low 0\noom 3\noom_kill 1\noom_group_kill 7\n").unwrap();
        fs::write(&machine, "pgfault 9\noom_kill 4\n").unwrap();
        let counters = OomCounters::read([group.clone(), folder.path().join("missing"), machine.clone()].into_iter());
        assert!(!counters.have_risen());
        fs::write(&machine, "oom_kill 5\n").unwrap();
        assert!(!counters.have_risen(), "somebody else's");
        fs::write(&group, "oom_kill 2\n").unwrap();
        assert!(counters.have_risen());
        fs::remove_file(&group).unwrap();
        assert!(counters.have_risen(), "the machine's counter is left");
    }

    #[test]
    fn this_machine_counts_somewhere() {
        assert!(!OomCounters::of(std::process::id()).0.is_empty());
    }
}

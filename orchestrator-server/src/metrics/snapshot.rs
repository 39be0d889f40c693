//! What is looked at only when somebody asks: nothing of it is kept up to date on the way of a request.
//!
//! This is the room for what other parts know of the present moment.

use orchestrator_core::Orchestrator;
use orchestrator_core::scheduler::policy::Counters;

/// Everything at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) instances: Vec<InstanceRow>,
    pub(super) queues: Vec<QueueRow>,
    pub(super) scheduler: Counters,
    /// Bytes by kind of memory that instances may hold together.
    pub(super) budget: Vec<(String, u64)>,
    /// Resident memory of this process in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// Descriptors that this process has open.
    pub(super) descriptors: Option<u64>,
}

/// One instance at one moment.
#[derive(Debug)]
pub(super) struct InstanceRow {
    pub(super) name: String,
    /// The one-word name of its state.
    pub(super) state: String,
    /// Resident memory of its server's processes, where one runs.
    pub(super) memory_bytes: Option<u64>,
}

/// One instance in the scheduler's books.
#[derive(Debug)]
pub(super) struct QueueRow {
    pub(super) name: String,
    /// Requests that wait for it.
    pub(super) waiting: u64,
    /// Bytes by kind of memory that it holds or asks for.
    pub(super) memory: Vec<(String, u64)>,
}

impl Snapshot {
    /// Looks at everything.
    pub(super) async fn take(orchestrator: &Orchestrator) -> Self {
        let instances = orchestrator.instances().await.instances.into_iter().map(|summary| InstanceRow {
            name: summary.name.to_string(),
            state: summary.state,
            memory_bytes: summary.memory_mb.map(|mib| mib * 1024 * 1024),
        });
        let scheduling = orchestrator.scheduling();
        let queues = scheduling.instances.into_iter().map(|(name, view)| QueueRow {
            name: name.to_string(),
            waiting: u64::try_from(view.waiting).unwrap_or(u64::MAX),
            memory: view.memory.0.into_iter().map(|(pool, bytes)| (pool.name(), bytes)).collect(),
        });
        Self {
            instances: instances.collect(),
            queues: queues.collect(),
            scheduler: scheduling.counters,
            budget: scheduling.budget.memory.into_iter().map(|(pool, bytes)| (pool.name(), bytes)).collect(),
            resident_bytes: resident_bytes(),
            descriptors: descriptors(),
        }
    }
}

/// Nothing where the system does not tell, as everything that is looked at here.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn descriptors() -> Option<u64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder that is being read.
    u64::try_from(open).ok().map(|open| open.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(descriptors().is_some_and(|open| open >= 3));
    }
}

//! What is seen of processes and of the store from outside.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use orchestrator_core::store::{OpenOutcome, SqliteStore};
use orchestrator_core::{Paths, StateStore};
use rustix::process::Signal;

use super::stage::daemon_of;
use crate::home::SOON;
use crate::processes::signal;
use crate::{TestHome, wait_until};

/// The moment in milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

/// The state of a process in one letter, as in proc(5); empty when it is gone.
pub(super) fn state_of(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default().to_owned()
}

/// The resident memory of a process, in KiB.
pub(super) fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The processor time a process has had.
pub(super) fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    // A hundred ticks a second, on every Linux of today; fields 14 and 15.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// How many descriptors a process has open.
pub(super) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Opens a copy of the database as it lies on the disk now, and fails unless it is sound.
#[track_caller]
pub(super) fn assert_store_is_sound(home: &TestHome) {
    let daemon = daemon_of(home);
    let copy = tempfile::tempdir_in("/tmp").unwrap();
    // The two files belong together only while nobody writes.
    if let Some(daemon) = daemon {
        signal(daemon, Signal::STOP);
        wait_until("the daemon is stopped", SOON, || (state_of(daemon) == "T").then_some(()));
    }
    let copied = ["", "-wal"].map(|suffix| {
        let name = format!("orchestrator.sqlite{suffix}");
        let from = home.path().join("state").join(&name);
        from.exists().then(|| std::fs::copy(from, copy.path().join(&name)))
    });
    daemon.inspect(|daemon| signal(*daemon, Signal::CONT));
    for copied in copied.into_iter().flatten() {
        copied.unwrap();
    }
    let (store, outcome) = SqliteStore::open(&copy.path().join("orchestrator.sqlite")).unwrap();
    assert_eq!(outcome, OpenOutcome::Opened, "the database is not sound");
    assert_eq!(block_on(store.check()).unwrap(), Vec::<String>::new(), "the database is not sound");
}

/// Opens the database of a home whose daemon is gone.
pub(super) fn open_store(home: &TestHome) -> SqliteStore {
    SqliteStore::open(&database(home.path())).unwrap().0
}

/// Returns where the database of a home lies.
pub(super) fn database(home: &Path) -> std::path::PathBuf {
    Paths::in_home(home).database()
}

/// Waits for a future.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Waits for futures, all at once, and returns what comes of them in their order.
pub(super) fn block_on_all<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    block_on(async {
        let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
        let mut outcomes = Vec::with_capacity(tasks.len());
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    })
}

/// How many connections this machine has dropped because their listener's queue was full.
pub(super) fn listen_overflows() -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "ListenOverflows");
    found.unwrap().1.parse().unwrap()
}

//! The local process launcher for Linux: [`LocalLauncher`] starts servers as processes of this machine, finds them
//! again after we were gone, and ends them with everything they started.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `identity` | who a process is (pid, start time, boot), and the pidfd through which it is signalled |
//! | `table` | the process table, read from `/proc` |
//! | `tree` | the policy, pure: which processes belong to a workload, who leads one |
//! | `spawn` | how a plan becomes a child process |
//! | `workload` | a started or adopted server: its end, its memory, its listener |
//! | `ending` | ask, wait, freeze, kill, prove that nothing is left |
//! | `oom` | whether the kernel killed for want of memory |
//! | `command` | a short program that is run to its end, or killed with its tree |
//! | [`output`] | rotating and reading what servers wrote |
//! | [`ports`] | free ports, and who holds one |
//!
//! A process is ours if we started it, if it descends from or shares the process group of one that is ours, if its
//! environment carries our marks (`ORCH_OWNER`, `ORCH_INSTANCE`), or if its output is appended to the instance's logs
//! as its server's is. Marks are inherited, so they also find what left the group and lost its parent, and they find
//! everything when the state database is lost. The open logs find what was given another environment as well.
//!
//! Signals go to one proven process at a time, through its pidfd, never to a number: `killpg` takes a number that
//! may belong to strangers by the time it runs.
//!
//! This module decides nothing about restarts and knows no engine.

pub(crate) mod command;
mod ending;
mod identity;
mod oom;
pub mod output;
pub mod ports;
mod spawn;
mod table;
mod tree;
mod workload;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::launcher::{DiscoveredWorkload, LaunchError, LaunchOrder, Launcher, OutputFiles, Workload, WorkloadIdentity};
use crate::names::InstanceName;
use crate::paths::Paths;

use ending::end_all;
use identity::{ProcessHandle, Stamp, boot_id};
use table::{MarkScope, read_table};
use tree::Kin;
use workload::LocalWorkload;

/// The variable that says whose process it is: the owner tag.
pub const OWNER_VARIABLE: &str = "ORCH_OWNER";
/// The variable that names the instance.
pub const INSTANCE_VARIABLE: &str = "ORCH_INSTANCE";
/// The variable that holds the address the server listens at.
pub const LISTEN_VARIABLE: &str = "ORCH_LISTEN";

/// How often a process that has only just begun is asked whose it is, before it is believed without a word.
const FIRST_WORDS: u32 = 50;
const FIRST_WORDS_POLL: Duration = Duration::from_millis(2);

/// Starts plans as processes of this machine.
#[derive(Debug, Clone)]
pub struct LocalLauncher {
    owner_tag: Arc<str>,
    logs: Arc<Path>,
    cleared: Cleared,
}

/// Instances of which nothing is left: the stop of their last server has looked, and only a start makes more. A look at
/// all processes of a machine takes a while, and a server that ended is to be replaced at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cleared(Arc<Mutex<BTreeSet<InstanceName>>>);

impl Cleared {
    fn names(&self) -> MutexGuard<'_, BTreeSet<InstanceName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a look found nothing.
    pub(crate) fn note(&self, instance: &InstanceName) {
        self.names().insert(instance.clone());
    }
}

impl LocalLauncher {
    /// Makes a launcher whose processes are marked with `owner_tag` ([`Paths::owner_tag`]) and write to the folder of
    /// their instance in `logs`.
    #[must_use]
    pub fn new(owner_tag: String, logs: PathBuf) -> Self {
        Self { owner_tag: owner_tag.into(), logs: logs.into(), cleared: Cleared::default() }
    }

    /// Makes the launcher of a home. However the home is named (a link, a relative path), its processes carry the same
    /// mark once its state folder exists.
    #[must_use]
    pub fn of_home(paths: &Paths) -> Self {
        let real = paths.state_dir().canonicalize();
        let owner_tag = real.map_or_else(|_| paths.owner_tag(), |path| path.to_string_lossy().into_owned());
        Self::new(owner_tag, paths.logs_dir().to_path_buf())
    }

    fn kin(&self, instance: &InstanceName, leader: Option<Stamp>) -> Kin {
        let output = OutputFiles::in_folder(&self.logs.join(instance.as_str()));
        Kin::new(Arc::clone(&self.owner_tag), instance.clone(), leader, output)
    }
}

#[async_trait]
impl Launcher for LocalLauncher {
    async fn start(&self, order: &LaunchOrder) -> Result<Arc<dyn Workload>, LaunchError> {
        let leftovers = self.end_leftovers(&order.instance).await?;
        if leftovers > 0 {
            tracing::warn!(instance = %order.instance, leftovers, "ended what an earlier server had left running");
        }
        self.cleared.names().remove(&order.instance);
        let workload = LocalWorkload::start(&self.owner_tag, order, &self.cleared).await?;
        Ok(Arc::new(workload))
    }

    async fn adopt(&self, instance: &InstanceName, identity: &WorkloadIdentity) -> Result<Option<Arc<dyn Workload>>, LaunchError> {
        let WorkloadIdentity::Process(process) = identity;
        if process.boot_id != boot_id()? {
            return Ok(None);
        }
        let stamp = Stamp { pid: process.pid, start_ticks: process.start_ticks };
        let Some(handle) = ProcessHandle::open(stamp)? else { return Ok(None) };
        let kin = Arc::new(self.kin(instance, Some(stamp)));
        // One that has only just begun says in a moment whose it is. One that never says so is known by its number and start.
        let mut patience = FIRST_WORDS;
        while patience > 0 && table::is_silent_yet(stamp.pid) {
            tokio::time::sleep(FIRST_WORDS_POLL).await;
            patience -= 1;
        }
        // The first look remembers the whole tree, and shows whether the process says that it is somebody else's. Nothing
        // that it started is older than it is.
        let tree = workload::look(&kin, MarkScope::StartedSince(stamp.start_ticks)).await?;
        if !tree.iter().any(|record| record.stamp() == stamp) {
            return Ok(None);
        }
        self.cleared.names().remove(instance);
        Ok(Some(Arc::new(LocalWorkload::adopted(kin, handle, process.clone(), &self.cleared))))
    }

    async fn end_leftovers(&self, instance: &InstanceName) -> Result<usize, LaunchError> {
        if self.cleared.names().contains(instance) {
            return Ok(0);
        }
        end_all(&Arc::new(self.kin(instance, None)), MarkScope::All, Duration::ZERO).await
    }

    async fn discover(&self) -> Result<Vec<DiscoveredWorkload>, LaunchError> {
        let owner_tag = Arc::clone(&self.owner_tag);
        let found = workload::blocking(move || {
            let table = read_table(MarkScope::All).map_err(table::table_error)?;
            Ok(tree::leaders(&table, &owner_tag, std::process::id()))
        })
        .await?;
        let boot_id = boot_id()?;
        Ok(found.into_iter().map(|leader| leader.into_discovered(boot_id)).collect())
    }
}

//! A started or adopted server: [`LocalWorkload`].
//!
//! A child is waited for by a thread of its own, which outlives the workload and the runtime: whatever happens to
//! them, no zombie stays. An adopted process is init's child; only its end can be seen, through its pidfd.

use std::net::SocketAddr;
use std::process::Child;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tokio::sync::{oneshot, watch};

use super::Cleared;
use super::ending::end_all;
use super::identity::{ProcessHandle, Stamp, boot_id};
use super::oom::OomCounters;
use super::ports;
use super::spawn::spawn;
use super::table::{FileId, MarkScope, ProcessRecord, read_table, table_error};
use super::tree::{GroupTrust, Kin, View};
use crate::launcher::{LaunchError, LaunchOrder, ProcessIdentity, Workload, WorkloadExit, WorkloadIdentity};

/// The thread only waits and looks at the process table.
const WAITING_THREAD_STACK: usize = 256 << 10;

/// How long the thread that waits may take to collect the status of a process that is gone.
const STATUS_DEADLINE: Duration = Duration::from_secs(2);

/// A server that runs as a process of this machine.
#[derive(Debug)]
pub(crate) struct LocalWorkload {
    identity: WorkloadIdentity,
    leader: ProcessHandle,
    kin: Arc<Kin>,
    cleared: Cleared,
    /// The kernel's kills for want of memory before its time.
    oom_counters: Arc<OomCounters>,
    /// What the thread that waits for a child of ours has seen; `None` for an adopted process.
    life: Option<watch::Receiver<Life>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// It ended. The thread is still looking at what it left, and has not reaped it.
    Ended(WorkloadExit),
    /// It ended and was reaped, and what it left is known.
    Settled(WorkloadExit),
}

impl Life {
    const fn exit(self) -> Option<WorkloadExit> {
        match self {
            Self::Running => None,
            Self::Ended(exit) | Self::Settled(exit) => Some(exit),
        }
    }
}

impl LocalWorkload {
    /// Starts a child. When the caller no longer waits for this once the child is there, it is killed.
    pub(crate) async fn start(owner_tag: &Arc<str>, order: &LaunchOrder, cleared: &Cleared) -> Result<Self, LaunchError> {
        let (report, started) = oneshot::channel();
        let (owner_tag, order, cleared) = (Arc::clone(owner_tag), order.clone(), cleared.clone());
        let failed = |source| LaunchError::System { action: "start the thread that waits for the server", source };
        thread::Builder::new()
            .name(format!("wait-{}", order.instance))
            .stack_size(WAITING_THREAD_STACK)
            .spawn(move || live(&owner_tag, &order, cleared, report))
            .map_err(failed)?;
        started.await.map_err(|_closed| failed(std::io::ErrorKind::BrokenPipe.into()))?
    }

    /// Takes over a process that somebody else started.
    pub(crate) fn adopted(kin: Arc<Kin>, leader: ProcessHandle, identity: ProcessIdentity, cleared: &Cleared) -> Self {
        let oom_counters = Arc::new(OomCounters::of(identity.pid));
        let cleared = cleared.clone();
        Self { identity: WorkloadIdentity::Process(identity), leader, kin, cleared, oom_counters, life: None }
    }

    /// Waits until the life of a child satisfies `condition`; `None` when nobody watches it.
    async fn observed(&self, condition: impl Fn(Life) -> bool) -> Option<WorkloadExit> {
        let mut life = self.life.clone()?;
        let seen = life.wait_for(|life| condition(*life)).await.ok()?;
        seen.exit()
    }

    /// Waits for the end of a process whose status is not ours to see.
    async fn unobserved(&self) -> WorkloadExit {
        if let Err(error) = self.leader.gone().await {
            tracing::error!(pid = self.leader.stamp().pid, %error, "the end of a server cannot be waited for");
            std::future::pending::<()>().await;
        }
        let kin = Arc::clone(&self.kin);
        let noted = blocking(move || find_now(&kin, MarkScope::None, GroupTrust::JustOrphaned)).await;
        if let Err(error) = noted {
            tracing::warn!(instance = %self.kin.instance, %error, "could not see what a server left behind");
        }
        WorkloadExit::Unseen
    }

    /// How far the end of it is looked for. Before one of ours was started, everything that carried the same marks was
    /// ended; of one that was taken over nobody knows that.
    fn ending_scope(&self) -> MarkScope {
        if self.life.is_some() { self.scope() } else { MarkScope::All }
    }

    fn scope(&self) -> MarkScope {
        // What it started is younger than it is.
        MarkScope::StartedSince(self.leader.stamp().start_ticks)
    }
}

#[async_trait]
impl Workload for LocalWorkload {
    fn identity(&self) -> &WorkloadIdentity {
        &self.identity
    }

    async fn wait(&self) -> WorkloadExit {
        match self.observed(|life| life.exit().is_some()).await {
            Some(exit) => exit,
            None => self.unobserved().await,
        }
    }

    async fn stop(&self, grace: Duration) -> Result<WorkloadExit, LaunchError> {
        if self.life.as_ref().is_some_and(|life| matches!(*life.borrow(), Life::Ended(_))) {
            let _settled = tokio::time::timeout(STATUS_DEADLINE, self.observed(|life| matches!(life, Life::Settled(_)))).await;
        }
        end_all(&self.kin, self.ending_scope(), grace).await?;
        self.cleared.note(&self.kin.instance);
        let exit = tokio::time::timeout(STATUS_DEADLINE, self.observed(|life| matches!(life, Life::Settled(_)))).await;
        Ok(exit.ok().flatten().unwrap_or(WorkloadExit::Unseen))
    }

    async fn memory_bytes(&self) -> Option<u64> {
        let found = look(&self.kin, self.scope()).await.ok()?;
        let pages: u64 = found.iter().filter(|record| record.alive).map(|record| record.resident_pages).sum();
        (pages > 0).then(|| pages.saturating_mul(procfs::page_size()))
    }

    async fn process_ids(&self) -> Vec<u32> {
        let found = look(&self.kin, self.scope()).await.unwrap_or_default();
        found.iter().filter(|record| record.alive).map(|record| record.pid).collect()
    }

    async fn saw_oom_kill(&self) -> bool {
        let counters = Arc::clone(&self.oom_counters);
        blocking(move || Ok(counters.have_risen())).await.unwrap_or(false)
    }

    async fn owns_listener(&self, address: SocketAddr) -> Option<bool> {
        let (kin, scope) = (Arc::clone(&self.kin), self.scope());
        let told = blocking(move || {
            let pids: Vec<u32> = look_now(&kin, scope)?.iter().filter(|record| record.alive).map(|record| record.pid).collect();
            Ok(ports::listens(&pids, address))
        });
        told.await.ok().flatten()
    }
}

/// The life of the thread that waits for a child: start it, report it, wait for its end, see what it left, reap it.
fn live(owner_tag: &Arc<str>, order: &LaunchOrder, cleared: Cleared, report: oneshot::Sender<Result<LocalWorkload, LaunchError>>) {
    let mut child = match spawn(owner_tag, order) {
        Ok(child) => child,
        Err(error) => {
            let _nobody_asked = report.send(Err(error));
            return;
        }
    };
    let (tell, life) = watch::channel(Life::Running);
    let kin = match introduce(&child, owner_tag, order) {
        Ok((kin, leader, identity)) => {
            let oom_counters = Arc::new(OomCounters::of(child.id()));
            let workload = LocalWorkload { identity, leader, kin: Arc::clone(&kin), cleared, oom_counters, life: Some(life) };
            if report.send(Ok(workload)).is_err() {
                abandon(&mut child, &order.instance);
            }
            Some(kin)
        }
        Err(error) => {
            abandon(&mut child, &order.instance);
            let _nobody_asked = report.send(Err(error));
            None
        }
    };
    let seen = wait_unreaped(&child);
    if let Some(exit) = seen {
        tell.send_replace(Life::Ended(exit));
    }
    // While it is not reaped its number, and so its group's, is nobody else's.
    if let Some(Err(error)) = kin.map(|kin| find_now(&kin, MarkScope::None, GroupTrust::JustOrphaned)) {
        tracing::warn!(instance = %order.instance, %error, "could not see what a server left behind");
    }
    if let Err(error) = child.wait() {
        tracing::warn!(pid = child.id(), %error, "a server's status was collected by somebody else");
    }
    tell.send_replace(Life::Settled(seen.unwrap_or(WorkloadExit::Unseen)));
}

fn introduce(child: &Child, owner_tag: &Arc<str>, order: &LaunchOrder) -> Result<(Arc<Kin>, ProcessHandle, WorkloadIdentity), LaunchError> {
    let boot_id = boot_id()?.to_owned();
    let leader = ProcessHandle::open_child(child.id())?;
    let Stamp { pid, start_ticks } = leader.stamp();
    let kin = Kin::new(Arc::clone(owner_tag), order.instance.clone(), Some(leader.stamp()), order.output.clone());
    Ok((Arc::new(kin), leader, WorkloadIdentity::Process(ProcessIdentity { pid, start_ticks, boot_id })))
}

/// Kills a child that nobody will hold. What it may have started by now carries our marks; the next start ends it.
fn abandon(child: &mut Child, instance: &crate::names::InstanceName) {
    tracing::warn!(%instance, pid = child.id(), "killed a server that nobody waited for");
    if let Err(error) = child.kill() {
        tracing::warn!(%instance, pid = child.id(), %error, "could not kill it");
    }
}

/// Waits for the end of a child and leaves it a zombie; `None` when it cannot be waited for.
fn wait_unreaped(child: &Child) -> Option<WorkloadExit> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => return Some(exit_of(&status)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

fn exit_of(status: &WaitIdStatus) -> WorkloadExit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => WorkloadExit::Status(status),
        (None, Some(signal)) => WorkloadExit::Signal(signal),
        (None, None) => WorkloadExit::Unseen,
    }
}

/// Looks at the process table, off the runtime, and returns who belongs to `kin`.
pub(crate) async fn look(kin: &Arc<Kin>, scope: MarkScope) -> Result<Vec<ProcessRecord>, LaunchError> {
    let kin = Arc::clone(kin);
    blocking(move || look_now(&kin, scope)).await
}

/// Looks at the process table and returns who belongs to `kin`.
pub(crate) fn look_now(kin: &Kin, scope: MarkScope) -> Result<Vec<ProcessRecord>, LaunchError> {
    find_now(kin, scope, GroupTrust::Proven)
}

fn find_now(kin: &Kin, scope: MarkScope, trust: GroupTrust) -> Result<Vec<ProcessRecord>, LaunchError> {
    let table = read_table(scope).map_err(table_error)?;
    let logs: Vec<FileId> = kin.output.paths().filter_map(|path| std::fs::metadata(path).ok()).map(|log| FileId::of(&log)).collect();
    let view = View { trust, own_pid: std::process::id(), logs: &logs };
    Ok(kin.find(&table, &view).into_iter().cloned().collect())
}

/// Runs blocking work off the runtime. Once started it runs to its end, whoever waits for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, LaunchError> + Send + 'static) -> Result<T, LaunchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LaunchError::System { action: "look at the processes of this machine", source: error.into() }),
    }
}

//! The launcher with real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::identity::Stamp;
use super::table::{MarkScope, ProcessRecord, read_record, read_table};
use super::{INSTANCE_VARIABLE, LISTEN_VARIABLE, LocalLauncher, OWNER_VARIABLE, ports};
use crate::launcher::{
    LaunchError, LaunchOrder, LaunchPlan, Launcher as _, OutputFiles, ProcessIdentity, Workload, WorkloadExit, WorkloadIdentity,
};
use crate::names::InstanceName;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// A launcher with a mark of its own and a folder for what its servers leave.
struct Bench {
    folder: TempDir,
    owner_tag: String,
    launcher: LocalLauncher,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner_tag = folder.path().display().to_string();
        Self { launcher: LocalLauncher::new(owner_tag.clone()), owner_tag, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn order(&self, program: &str, arguments: &[&str]) -> LaunchOrder {
        LaunchOrder {
            instance: instance(),
            plan: LaunchPlan {
                program: program.into(),
                arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
                variables: BTreeMap::from([("HERE".to_owned(), self.owner_tag.clone())]),
                listen: address(),
                health_path: "/health".to_owned(),
            },
            output: OutputFiles { stdout: Some(self.path("logs/deep/stdout.log")), stderr: Some(self.path("logs/deep/stderr.log")) },
        }
    }

    /// Starts a shell script; `$HERE` is the folder.
    async fn start(&self, script: &str) -> Arc<dyn Workload> {
        self.launcher.start(&self.order("sh", &["-c", script])).await.unwrap()
    }

    /// Waits until a script has written a line to a file, and returns it.
    async fn line(&self, name: &str) -> String {
        let path = self.path(name);
        let mut text = String::new();
        wait_until(name, || {
            text = fs::read_to_string(&path).unwrap_or_default();
            text.ends_with('\n')
        })
        .await;
        text.trim().to_owned()
    }

    async fn pid(&self, name: &str) -> u32 {
        self.line(name).await.parse().unwrap()
    }

    /// Who is alive and carries our marks.
    fn living(&self) -> Vec<u32> {
        let marked = |record: &ProcessRecord| record.marks.as_ref().is_some_and(|marks| marks.owner == self.owner_tag);
        read_table(MarkScope::All).unwrap().iter().filter(|record| marked(record)).map(|record| record.pid).collect()
    }
}

impl Drop for Bench {
    /// A test that failed halfway leaves nothing either.
    fn drop(&mut self) {
        let launcher = self.launcher.clone();
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(launcher.kill_leftovers(&instance())).unwrap();
        });
        cleaned.join().unwrap();
    }
}

fn instance() -> InstanceName {
    InstanceName::try_new("bench").unwrap()
}

fn address() -> SocketAddr {
    "127.0.0.1:4321".parse().unwrap()
}

async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_alive(pid: u32) -> bool {
    read_record(pid).unwrap().is_some_and(|record| record.alive)
}

fn process_of(workload: &Arc<dyn Workload>) -> ProcessIdentity {
    let WorkloadIdentity::Process(process) = workload.identity().clone();
    process
}

#[tokio::test]
async fn an_exit_status_and_a_signal_are_reported() {
    let bench = Bench::new();
    assert_eq!(timeout(LONG, bench.start("exit 7").await.wait()).await.unwrap(), WorkloadExit::Status(7));
    assert_eq!(timeout(LONG, bench.start("kill -9 $$").await.wait()).await.unwrap(), WorkloadExit::Signal(9));
}

#[tokio::test]
async fn a_server_that_ends_when_asked_is_not_killed() {
    let bench = Bench::new();
    let workload = bench.start("trap 'echo bye > $HERE/bye; exit 3' TERM; echo $$ > $HERE/up; while :; do sleep 0.05; done").await;
    let pid = bench.pid("up").await;
    assert_eq!(workload.identity().pid(), Some(pid));
    assert_eq!(workload.stop(LONG).await.unwrap(), WorkloadExit::Status(3));
    assert_eq!(bench.line("bye").await, "bye");
    assert!(read_record(pid).unwrap().is_none(), "it was reaped");
    assert_eq!(workload.stop(LONG).await.unwrap(), WorkloadExit::Status(3), "stopping twice is fine");
}

#[tokio::test]
async fn a_server_that_ignores_the_request_is_killed_after_the_grace() {
    let bench = Bench::new();
    let workload = bench.start("trap '' TERM; echo $$ > $HERE/up; while :; do sleep 0.05; done").await;
    bench.pid("up").await;
    let begun = Instant::now();
    assert_eq!(workload.stop(SHORT).await.unwrap(), WorkloadExit::Signal(9));
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT + Duration::from_secs(2));
    assert_eq!(bench.living(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_server_that_hangs_stopped_hears_the_request() {
    let bench = Bench::new();
    let workload = bench.start("trap 'exit 4' TERM; echo $$ > $HERE/up; kill -STOP $$; while :; do sleep 0.05; done").await;
    bench.pid("up").await;
    assert_eq!(workload.stop(LONG).await.unwrap(), WorkloadExit::Status(4));
}

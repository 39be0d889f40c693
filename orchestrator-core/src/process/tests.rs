//! The launcher with real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::identity::Stamp;
use super::table::{MarkScope, ProcessRecord, read_record, read_table};
use super::workload::LocalWorkload;
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
        Self { launcher: LocalLauncher::new(owner_tag.clone(), folder.path().join("logs")), owner_tag, folder }
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
                removed_prefixes: Vec::new(),
                listen: address(),
                health_path: "/health".to_owned(),
            },
            output: OutputFiles { stdout: Some(self.path("logs/bench/stdout.log")), stderr: Some(self.path("logs/bench/stderr.log")) },
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
            runtime.block_on(launcher.end_leftovers(&instance())).unwrap();
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

/// Kills the leader alone, behind the launcher's back.
fn kill(identity: &WorkloadIdentity) {
    let WorkloadIdentity::Process(process) = identity;
    let stamp = Stamp { pid: process.pid, start_ticks: process.start_ticks };
    super::identity::ProcessHandle::open(stamp).unwrap().unwrap().signal(rustix::process::Signal::KILL).unwrap();
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

#[tokio::test]
async fn a_grandchild_that_left_the_group_and_lost_its_parent_ends_too() {
    let bench = Bench::new();
    // The subshell ends at once, so the one that ignores the request is init's child, in a session of its own.
    let script = "(setsid sh -c 'trap \"\" TERM; echo $$ > $HERE/grandchild; while :; do sleep 0.05; done' &) ; \
                  echo $$ > $HERE/up; while :; do sleep 0.05; done";
    let workload = bench.start(script).await;
    let (leader, grandchild) = (bench.pid("up").await, bench.pid("grandchild").await);
    let record = read_record(grandchild).unwrap().unwrap();
    assert_eq!((record.group, record.session), (grandchild, grandchild));
    assert_ne!(record.parent, leader);
    assert_eq!(workload.stop(SHORT).await.unwrap(), WorkloadExit::Signal(15));
    assert!(!is_alive(grandchild));
    assert_eq!(bench.living(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_child_without_our_marks_ends_too() {
    let bench = Bench::new();
    // An empty environment, a group of its own, and still a child of the leader.
    let script = format!(
        "env -i setsid sh -c 'trap \"\" TERM; echo $$ > {0}/bare; while :; do sleep 0.05; done' & \
         trap '' TERM; echo $$ > {0}/up; while :; do sleep 0.05; done",
        bench.owner_tag
    );
    let workload = bench.start(&script).await;
    bench.pid("up").await;
    let bare = bench.pid("bare").await;
    workload.stop(SHORT).await.unwrap();
    assert!(!is_alive(bare));
}

/// Starts a sleeper in a session of its own, with an environment of its own, whose parent ends at once.
const DAEMONISED: &str = "(env -i HERE=\"$HERE\" setsid sh -c 'echo $$ > $HERE/bare; while :; do sleep 0.05; done' &)";

#[tokio::test]
async fn a_daemonised_child_with_another_environment_is_found_by_our_logs() {
    let bench = Bench::new();
    let workload = bench.start(&format!("{DAEMONISED}; echo $$ > $HERE/up; while :; do sleep 0.05; done")).await;
    bench.pid("up").await;
    let bare = bench.pid("bare").await;
    wait_until("init to take the child", || {
        read_record(bare).unwrap().is_some_and(|record| Some(record.parent) != workload.identity().pid())
    })
    .await;
    // Whoever reads the log, or writes to it from elsewhere and not as its output, is a stranger.
    let stdout = bench.path("logs/bench/stdout.log");
    let reader = Command::new("tail").arg("-f").arg(&stdout).stdout(Stdio::null()).spawn().unwrap();
    let overwriting = fs::OpenOptions::new().write(true).open(&stdout).unwrap();
    let writer = Command::new("sleep").arg("60").stdout(overwriting).spawn().unwrap();
    let adopted = bench.launcher.adopt(&instance(), workload.identity()).await.unwrap().unwrap();
    adopted.stop(SHORT).await.unwrap();
    let (bare_lives, strangers_live) = (is_alive(bare), is_alive(reader.id()) && is_alive(writer.id()));
    for mut stranger in [reader, writer] {
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    assert!(!bare_lives && strangers_live, "{bare_lives} {strangers_live}");
}

#[tokio::test]
async fn a_daemonised_child_of_a_dead_server_is_a_leftover() {
    let bench = Bench::new();
    let workload = bench.start(DAEMONISED).await;
    let bare = bench.pid("bare").await;
    timeout(LONG, workload.wait()).await.unwrap();
    assert!(is_alive(bare));
    assert!(bench.launcher.end_leftovers(&instance()).await.unwrap() > 0);
    assert!(!is_alive(bare));
}

#[tokio::test]
async fn what_a_dead_server_left_is_ended_by_stop_even_without_marks() {
    let bench = Bench::new();
    let script = format!(
        "env -i sh -c 'echo $$ > {0}/worker; while :; do sleep 0.05; done' & echo $$ > {0}/up; while :; do sleep 0.05; done",
        bench.owner_tag
    );
    let workload = bench.start(&script).await;
    bench.pid("up").await;
    let worker = bench.pid("worker").await;
    kill(workload.identity());
    assert_eq!(timeout(LONG, workload.wait()).await.unwrap(), WorkloadExit::Signal(9));
    assert!(is_alive(worker), "killing the leader alone leaves its worker");
    assert_eq!(workload.stop(SHORT).await.unwrap(), WorkloadExit::Signal(9));
    assert!(!is_alive(worker));
}

#[tokio::test]
async fn a_start_ends_what_an_earlier_server_of_the_instance_left() {
    let bench = Bench::new();
    let first = bench.start("sh -c 'echo $$ > $HERE/worker; while :; do sleep 0.05; done' & wait").await;
    let worker = bench.pid("worker").await;
    kill(first.identity());
    timeout(LONG, first.wait()).await.unwrap();
    assert!(is_alive(worker));
    let second = bench.start("echo $$ > $HERE/second; while :; do sleep 0.05; done").await;
    assert!(!is_alive(worker));
    assert_eq!(second.identity().pid(), Some(bench.pid("second").await));
    second.stop(LONG).await.unwrap();
}

#[tokio::test]
async fn what_was_stopped_is_not_looked_for_again_until_something_was_started() {
    let bench = Bench::new();
    let first = bench.start("while :; do sleep 0.05; done").await;
    first.stop(LONG).await.unwrap();
    assert_eq!(bench.launcher.end_leftovers(&instance()).await.unwrap(), 0);
    let second = bench.start("sh -c 'echo $$ > $HERE/worker; while :; do sleep 0.05; done' & wait").await;
    let worker = bench.pid("worker").await;
    kill(second.identity());
    timeout(LONG, second.wait()).await.unwrap();
    assert!(bench.launcher.end_leftovers(&instance()).await.unwrap() > 0, "what the second one left is found");
    assert!(!is_alive(worker));
}

#[tokio::test]
async fn the_processes_of_a_server_are_its_whole_tree() {
    let bench = Bench::new();
    let workload = bench.start("setsid sh -c 'echo $$ > $HERE/worker; while :; do sleep 0.05; done' & wait").await;
    let worker = bench.pid("worker").await;
    let pids = workload.process_ids().await;
    assert!(pids.contains(&worker) && pids.contains(&workload.identity().pid().unwrap()), "{pids:?}");
    assert!(!workload.saw_oom_kill().await);
    workload.stop(LONG).await.unwrap();
}

#[tokio::test]
async fn a_tree_that_keeps_forking_is_ended() {
    let bench = Bench::new();
    let script = "trap '' TERM; echo $$ > $HERE/up; while :; do (setsid sleep 30 &); (sh -c 'sleep 30 & sleep 30' &); sleep 0.02; done";
    let workload = bench.start(script).await;
    bench.pid("up").await;
    wait_until("some children", || bench.living().len() > 5).await;
    assert_eq!(workload.stop(Duration::ZERO).await.unwrap(), WorkloadExit::Signal(9));
    assert_eq!(bench.living(), Vec::<u32>::new());
}

#[tokio::test]
async fn processes_of_other_owners_and_other_instances_are_left_alone() {
    let (bench, other) = (Bench::new(), Bench::new());
    let stranger = other.start("echo $$ > $HERE/up; while :; do sleep 0.05; done").await;
    let mut order = bench.order("sh", &["-c", "echo $$ > $HERE/sibling; while :; do sleep 0.05; done"]);
    order.instance = InstanceName::try_new("sibling").unwrap();
    let sibling = bench.launcher.start(&order).await.unwrap();
    let workload = bench.start("while :; do sleep 0.05; done").await;
    let (stranger_pid, sibling_pid) = (other.pid("up").await, bench.pid("sibling").await);
    workload.stop(LONG).await.unwrap();
    assert_eq!(bench.launcher.end_leftovers(&instance()).await.unwrap(), 0);
    assert!(is_alive(stranger_pid) && is_alive(sibling_pid));
    stranger.stop(LONG).await.unwrap();
    sibling.stop(LONG).await.unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let bench = Bench::new();
    let (plain, script) = (bench.path("plain"), bench.path("wrong-format"));
    fs::write(&plain, "no program").unwrap();
    fs::write(&script, "no program").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (bench.path("missing"), "No such file or directory"),
        (plain, "Permission denied"),
        (script, "Exec format error"),
        (bench.folder.path().to_path_buf(), "Permission denied"),
    ];
    for (program, cause) in cases {
        let error = bench.launcher.start(&bench.order(&program.display().to_string(), &[])).await.err().unwrap();
        assert_eq!(error.to_string(), format!("could not start `{}`", program.display()));
        let LaunchError::Spawn { source, .. } = error else { unreachable!("{error:?}") };
        assert!(source.to_string().starts_with(cause), "{source}");
    }
    assert_eq!(bench.living(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_log_that_is_no_file_is_named() {
    let bench = Bench::new();
    let mut order = bench.order("true", &[]);
    order.output.stderr = Some(bench.folder.path().to_path_buf());
    let error = bench.launcher.start(&order).await.err().unwrap();
    assert_eq!(error.to_string(), format!("could not open the log `{}`", bench.owner_tag));
}

#[tokio::test]
async fn the_child_sees_its_marks_its_variables_and_no_core_dumps() {
    let bench = Bench::new();
    let mut order =
        bench.order("sh", &["-c", "echo \"$ORCH_OWNER $ORCH_INSTANCE $ORCH_LISTEN $PLAN_TOKEN\"; readlink /proc/self/fd/0 >&2"]);
    order.plan.variables.insert("PLAN_TOKEN".to_owned(), "given".to_owned());
    order.plan.variables.insert("ORCH_INSTANCE".to_owned(), "forged".to_owned());
    let workload = bench.launcher.start(&order).await.unwrap();
    assert_eq!(timeout(LONG, workload.wait()).await.unwrap(), WorkloadExit::Status(0));
    assert_eq!(bench.line("logs/bench/stdout.log").await, format!("{} bench 127.0.0.1:4321 given", bench.owner_tag));
    assert_eq!(bench.line("logs/bench/stderr.log").await, "/dev/null");
    let mode = |path: &str| fs::metadata(bench.path(path)).map(|metadata| metadata.permissions().mode() & 0o777).unwrap();
    assert_eq!((mode("logs"), mode("logs/bench"), mode("logs/bench/stdout.log")), (0o700, 0o700, 0o600));

    let workload = bench.start("while :; do sleep 0.05; done").await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", workload.identity().pid().unwrap())).unwrap();
    let cores: Vec<_> = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split_ascii_whitespace().collect();
    assert_eq!(cores.get(4..6).unwrap(), ["0", "0"]);
    workload.stop(LONG).await.unwrap();
}

#[tokio::test]
async fn variables_that_the_plan_removes_are_not_inherited_and_can_be_set() {
    let bench = Bench::new();
    // Cargo sets both for a test.
    let mut order = bench.order("sh", &["-c", "echo \"${CARGO_MANIFEST_DIR-gone} ${CARGO_PKG_NAME-gone} ${CARGO_MANIFEST_PATH-gone}\""]);
    order.plan.removed_prefixes = vec!["CARGO_MANIFEST".to_owned()];
    order.plan.variables.insert("CARGO_MANIFEST_PATH".to_owned(), "given".to_owned());
    bench.launcher.start(&order).await.unwrap();
    assert_eq!(bench.line("logs/bench/stdout.log").await, format!("gone {} given", env!("CARGO_PKG_NAME")));
}

#[tokio::test]
async fn output_is_appended_across_starts() {
    let bench = Bench::new();
    for word in ["one", "two"] {
        let workload = bench.start(&format!("echo {word}")).await;
        timeout(LONG, workload.wait()).await.unwrap();
    }
    assert_eq!(fs::read_to_string(bench.path("logs/bench/stdout.log")).unwrap(), "one\ntwo\n");
}

#[tokio::test]
async fn many_quick_starts_leave_no_zombie_and_no_descriptor() {
    let bench = Bench::new();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let zombies = || {
        let own = std::process::id();
        read_table(MarkScope::None).unwrap().into_iter().filter(|record| record.parent == own && !record.alive).count()
    };
    bench.start("exit 0").await.wait().await;
    let before = open();
    for round in 0..60 {
        let workload = bench.launcher.start(&bench.order("true", &[])).await.unwrap();
        assert!(workload.identity().pid().is_some());
        // Some are waited for, some dropped at once, some stopped.
        match round % 3 {
            0 => assert_eq!(timeout(LONG, workload.wait()).await.unwrap(), WorkloadExit::Status(0)),
            1 => drop(workload),
            _ => {
                workload.stop(LONG).await.unwrap();
            }
        }
    }
    wait_until("the zombies to be reaped", || zombies() == 0).await;
    // Other tests of this process open and close descriptors of their own.
    wait_until("the descriptors to be closed", || open() <= before + 20).await;
}

#[tokio::test]
async fn waiting_can_be_given_up_and_done_by_several() {
    let bench = Bench::new();
    let workload = bench.start("while [ ! -e $HERE/go ]; do sleep 0.01; done; exit 5").await;
    assert!(timeout(Duration::from_millis(20), workload.wait()).await.is_err());
    let waits: Vec<_> = (0..3)
        .map(|_| {
            let workload = Arc::clone(&workload);
            tokio::spawn(async move { workload.wait().await })
        })
        .collect();
    fs::write(bench.path("go"), "").unwrap();
    for wait in waits {
        assert_eq!(timeout(LONG, wait).await.unwrap().unwrap(), WorkloadExit::Status(5));
    }
}

#[test]
fn a_server_outlives_its_workload_and_the_runtime_and_is_still_reaped() {
    let bench = Bench::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pid = {
        let first = runtime();
        let workload = first.block_on(bench.start("while [ ! -e $HERE/go ]; do sleep 0.01; done"));
        workload.identity().pid().unwrap()
    };
    assert!(is_alive(pid));
    fs::write(bench.path("go"), "").unwrap();
    runtime().block_on(wait_until("the child to be reaped", || read_record(pid).unwrap().is_none()));
}

#[test]
fn a_workload_can_be_waited_for_and_stopped_in_another_runtime() {
    let bench = Bench::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let workload = runtime().block_on(bench.start("while :; do sleep 0.05; done"));
    let adopted = runtime().block_on(bench.launcher.adopt(&instance(), workload.identity())).unwrap().unwrap();
    runtime().block_on(async {
        assert_eq!(adopted.stop(LONG).await.unwrap(), WorkloadExit::Unseen);
        assert_eq!(timeout(LONG, adopted.wait()).await.unwrap(), WorkloadExit::Unseen);
        assert_eq!(timeout(LONG, workload.wait()).await.unwrap(), WorkloadExit::Signal(15));
    });
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_leaves_nothing_running() {
    let bench = Bench::new();
    let order = bench.order("sh", &["-c", "echo $$ >> $HERE/started; while :; do sleep 0.05; done"]);
    let owner_tag = Arc::from(bench.owner_tag.as_str());
    for _ in 0..5 {
        // Polled once, which starts the thread, and given up.
        let cleared = super::Cleared::default();
        tokio::select! {
            biased;
            started = LocalWorkload::start(&owner_tag, &order, &cleared) => {
                // On a busy machine the thread may be done before the first look.
                started.unwrap().stop(Duration::ZERO).await.unwrap();
            }
            () = std::future::ready(()) => {}
        }
    }
    wait_until("the logs of the children", || bench.path("logs/bench/stderr.log").exists()).await;
    wait_until("the abandoned children to be gone", || bench.living().is_empty()).await;
}

/// Starts a server as an earlier owner of the home would have left it: not our child, marked.
async fn left_by_an_earlier_owner(bench: &Bench, script: &str) -> u32 {
    let script = format!("echo $$ > $HERE/up; {script}");
    let status = Command::new("sh")
        .args(["-c", "setsid sh -c \"$0\" > /dev/null 2>&1 &", &script])
        .env(OWNER_VARIABLE, &bench.owner_tag)
        .env(INSTANCE_VARIABLE, "bench")
        .env(LISTEN_VARIABLE, address().to_string())
        .env("HERE", &bench.owner_tag)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let pid = bench.pid("up").await;
    wait_until("the starter to be gone", || read_record(pid).unwrap().is_some_and(|record| record.parent != std::process::id())).await;
    pid
}

#[tokio::test]
async fn a_server_left_by_an_earlier_owner_is_found_adopted_and_ended() {
    let bench = Bench::new();
    let pid = left_by_an_earlier_owner(&bench, "(setsid sleep 60 &); sh -c 'echo $$ > $HERE/child; while :; do sleep 0.05; done'").await;
    bench.pid("child").await;
    let found = bench.launcher.discover().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let found = found.first().unwrap();
    assert_eq!((&found.instance, found.identity.pid(), found.address), (&instance(), Some(pid), address()));

    let workload = bench.launcher.adopt(&found.instance, &found.identity).await.unwrap().unwrap();
    assert_eq!(workload.identity(), &found.identity);
    assert!(workload.memory_bytes().await.unwrap() > 100_000);
    assert!(timeout(Duration::from_millis(20), workload.wait()).await.is_err());
    assert_eq!(workload.stop(LONG).await.unwrap(), WorkloadExit::Unseen);
    assert_eq!(bench.living(), Vec::<u32>::new());
    assert!(bench.launcher.adopt(&found.instance, &found.identity).await.unwrap().is_none());
    assert_eq!(bench.launcher.discover().await.unwrap(), []);
}

#[tokio::test]
async fn the_end_of_an_adopted_server_is_noticed_at_once() {
    let bench = Bench::new();
    left_by_an_earlier_owner(&bench, "while :; do sleep 0.05; done").await;
    let found = bench.launcher.discover().await.unwrap();
    let identity = &found.first().unwrap().identity;
    let workload = bench.launcher.adopt(&instance(), identity).await.unwrap().unwrap();
    let waiting = tokio::spawn({
        let workload = Arc::clone(&workload);
        async move { workload.wait().await }
    });
    tokio::task::yield_now().await;
    let killed_at = Instant::now();
    kill(identity);
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), WorkloadExit::Unseen);
    assert!(killed_at.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_process_that_has_only_just_begun_is_asked_again_whose_it_is() {
    let bench = Bench::new();
    let other = LocalLauncher::new("another owner".to_owned(), bench.path("elsewhere"));
    for round in 0..25 {
        let workload = bench.start("sleep 60").await;
        assert!(other.adopt(&instance(), workload.identity()).await.unwrap().is_none(), "round {round}: its marks name another owner");
        workload.stop(LONG).await.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_with_the_same_number_is_neither_adopted_nor_touched() {
    let bench = Bench::new();
    let workload = bench.start("while :; do sleep 0.05; done").await;
    let right = process_of(&workload);
    let wrong = [
        ProcessIdentity { start_ticks: right.start_ticks + 1, ..right.clone() },
        ProcessIdentity { boot_id: "another boot".to_owned(), ..right.clone() },
        ProcessIdentity { pid: 0, ..right.clone() },
        ProcessIdentity { pid: u32::MAX, ..right.clone() },
    ];
    for identity in wrong {
        assert!(bench.launcher.adopt(&instance(), &WorkloadIdentity::Process(identity)).await.unwrap().is_none());
    }
    let other = LocalLauncher::new("another owner".to_owned(), bench.path("elsewhere"));
    assert!(other.adopt(&instance(), workload.identity()).await.unwrap().is_none(), "its marks name another owner");
    // Handles are the only way to a signal, and there is none for a number that was reused.
    let reused = Stamp { pid: right.pid, start_ticks: right.start_ticks + 1 };
    assert!(super::identity::ProcessHandle::open(reused).unwrap().is_none());
    assert!(is_alive(right.pid));
    workload.stop(LONG).await.unwrap();
}

const LISTEN_IN_PYTHON: &str = "import socket,sys,time\ns=socket.socket()\ns.bind(('127.0.0.1',0))\ns.listen()\n\
                                open(sys.argv[1],'w').write('%d\\n'%s.getsockname()[1])\ntime.sleep(60)";

#[tokio::test]
async fn a_listener_is_told_from_a_squatter() {
    let bench = Bench::new();
    // The listener is the leader's child.
    let script = format!("python3 -c \"{LISTEN_IN_PYTHON}\" $HERE/port & wait");
    let workload = bench.start(&script).await;
    let ours = SocketAddr::from((Ipv4Addr::LOCALHOST, bench.line("port").await.parse().unwrap()));
    assert_eq!(workload.owns_listener(ours).await, Some(true));
    let holder = ports::holder_of(ours).unwrap();
    assert_ne!(Some(holder.pid), workload.identity().pid());
    assert!(holder.program.starts_with("python"), "{holder}");
    assert!(!ports::is_free(ours).unwrap());

    let squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let theirs = squatter.local_addr().unwrap();
    assert_eq!(workload.owns_listener(theirs).await, Some(false));
    assert_eq!(ports::holder_of(theirs).unwrap().pid, std::process::id());

    workload.stop(LONG).await.unwrap();
    assert!(ports::is_free(ours).unwrap());
    assert_eq!(ports::holder_of(ours), None);
    assert_eq!(workload.owns_listener(ours).await, Some(false));
    assert_eq!(workload.memory_bytes().await, None);
}

#[tokio::test]
async fn a_rotated_log_is_written_on() {
    let bench = Bench::new();
    let log = bench.path("logs/bench/stdout.log");
    let workload =
        bench.start("seq 1000; echo first; while [ ! -e $HERE/go ]; do sleep 0.01; done; echo second; while :; do sleep 0.05; done").await;
    wait_until("the first part", || fs::read_to_string(&log).is_ok_and(|text| text.ends_with("first\n"))).await;
    assert!(super::output::rotate_if_large(&log, 1000, 2).unwrap());
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
    fs::write(bench.path("go"), "").unwrap();
    wait_until("the second part", || fs::read_to_string(&log).is_ok_and(|text| text == "second\n")).await;
    assert!(fs::read_to_string(bench.path("logs/bench/stdout.log.1")).unwrap().ends_with("1000\nfirst\n"));
    workload.stop(LONG).await.unwrap();
}

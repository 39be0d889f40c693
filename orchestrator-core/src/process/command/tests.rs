//! Short programs that end, fail, hang and fork.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::path::Path;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn order(folder: &Path, script: &str) -> CommandOrder {
    CommandOrder {
        owner_tag: format!("{}#probe", folder.display()).into(),
        instance: InstanceName::try_new("demo").unwrap(),
        program: "sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        variables: BTreeMap::from([("ORCH_SERVER_PORT".to_owned(), "8601".to_owned())]),
    }
}

async fn run(script: &str, timeout: Duration) -> CommandReport {
    order(tempfile::tempdir().unwrap().path(), script).run(timeout, std::future::pending()).await.unwrap()
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn the_status_and_the_last_line_are_told() {
    let cases = [
        ("exit 0", CommandEnd::Exited(0), ""),
        ("echo fine; exit 0", CommandEnd::Exited(0), "fine"),
        ("echo first; echo 'the queue is full' >&2; echo; exit 3", CommandEnd::Exited(3), "the queue is full"),
        ("echo $ORCH_INSTANCE $ORCH_SERVER_PORT", CommandEnd::Exited(0), "demo 8601"),
        ("printf '\\033[31mred\\033[0m\\007'", CommandEnd::Exited(0), "red\\u{7}"),
        ("kill -9 $$", CommandEnd::Killed(9), ""),
        ("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end", CommandEnd::Exited(0), "end"),
    ];
    for (script, end, last_line) in cases {
        assert_eq!(run(script, LONG).await, CommandReport { end, last_line: last_line.to_owned() }, "{script}");
    }
}

#[tokio::test]
async fn what_a_command_leaves_running_is_not_waited_for() {
    let begun = std::time::Instant::now();
    let report = run("echo done; sleep 30 & echo $!", LONG).await;
    assert_eq!(report.end, CommandEnd::Exited(0));
    assert!(begun.elapsed() < LONG / 2);
    let pid = i32::try_from(report.last_line.parse::<u32>().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn one_that_takes_too_long_is_killed_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!(
        "trap '' TERM; setsid sleep 60 & echo $! >>{0}; sleep 60 & echo $! >>{0}; echo $$ >>{0}; echo waiting; wait",
        pids.display()
    );
    let report = order(folder.path(), &script).run(Duration::from_millis(500), std::future::pending()).await.unwrap();
    assert_eq!(report, CommandReport { end: CommandEnd::TimedOut, last_line: "waiting".to_owned() });
    let pids = std::fs::read_to_string(pids).unwrap();
    assert_eq!(pids.lines().count(), 3);
    assert!(pids.lines().all(|pid| !is_alive(pid)), "{pids}");
}

#[tokio::test]
async fn one_that_nobody_waits_for_is_killed() {
    let report = order(Path::new("/nowhere"), "sleep 60").run(LONG, std::future::ready(())).await.unwrap();
    assert_eq!(report.end, CommandEnd::GivenUp);
}

#[tokio::test]
async fn what_an_earlier_run_left_is_found_by_its_mark() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), "setsid sleep 60 & echo $!");
    let report = order.run(LONG, std::future::pending()).await.unwrap();
    assert!(is_alive(&report.last_line));
    order.end_leftovers().await;
    assert!(!is_alive(&report.last_line));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let order = CommandOrder { program: "/nowhere/check".into(), ..order(Path::new("/nowhere"), "") };
    assert_eq!(order.run(LONG, std::future::pending()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

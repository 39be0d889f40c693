#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::path::Path;

use super::*;

fn shell(script: &str) -> Program {
    Program::quick("/bin/sh", ["-c", script])
}

async fn run_it(program: Program, cancel: &CancellationToken) -> (ProgramEnd, Vec<String>) {
    let mut lines = Vec::new();
    let end = run(program, cancel, &mut |line| lines.push(line.to_owned())).await.unwrap();
    (end, lines)
}

fn is_alive(pid: &str) -> bool {
    // A zombie has ended; only its status is still there.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A shell that starts a child in its group, writes both numbers to a file, and waits.
fn family(file: &Path, prelude: &str) -> Program {
    shell(&format!("{prelude} sleep 600 & echo $$ $! >{0}.tmp; mv {0}.tmp {0}; wait", file.display()))
}

async fn pids_in(file: &Path) -> Vec<String> {
    wait_until("the family writes its pids", || file.exists()).await;
    std::fs::read_to_string(file).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn both_outputs_and_the_status_are_seen() {
    let (end, lines) = run_it(shell("echo out; echo err >&2; printf 'no newline'; exit 3"), &CancellationToken::new()).await;
    let ProgramEnd::Exited(output) = end else { panic!("{end:?}") };
    assert_eq!(output.status.unwrap().code(), Some(3));
    assert!(!output.succeeded());
    assert_eq!(output.stdout, ["out", "no newline"]);
    assert_eq!(lines.len(), 3);
    assert!(lines.contains(&"err".to_owned()));
}

#[tokio::test]
async fn an_endless_line_is_cut_and_control_characters_are_replaced() {
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; printf '\\033[31mred\\n'; yes | head -n 2000";
    let (end, lines) = run_it(shell(script), &CancellationToken::new()).await;
    let ProgramEnd::Exited(output) = end else { panic!("{end:?}") };
    assert_eq!(lines[0].len(), LONGEST_LINE);
    assert_eq!(lines[1], "\u{fffd}[31mred");
    assert_eq!((output.tail.len(), output.stdout.len()), (TAIL, MOST_OUTPUT));
}

#[tokio::test]
async fn cancelling_ends_the_whole_group() {
    for prelude in ["", "trap '' TERM;"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let cancel = CancellationToken::new();
        let running = tokio::spawn({
            let (program, cancel) = (family(&file, prelude), cancel.clone());
            async move { run_it(program, &cancel).await.0 }
        });
        let pids = pids_in(&file).await;
        cancel.cancel();
        assert!(matches!(running.await.unwrap(), ProgramEnd::Cancelled));
        for pid in &pids {
            wait_until("the group is gone", || !is_alive(pid)).await;
        }
    }
}

#[tokio::test]
async fn dropping_the_run_kills_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let running = tokio::spawn({
        let program = family(&file, "trap '' TERM;");
        async move { run_it(program, &CancellationToken::new()).await.0 }
    });
    let pids = pids_in(&file).await;
    running.abort();
    for pid in &pids {
        wait_until("the group is gone", || !is_alive(pid)).await;
    }
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_and_its_words_are_kept() {
    let mut program = shell("echo before; sleep 600");
    program.limit = Duration::from_millis(300);
    let (end, _) = run_it(program, &CancellationToken::new()).await;
    let ProgramEnd::TimedOut(output) = end else { panic!("{end:?}") };
    assert_eq!(output.last_words(), "before");
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_does_not_hold_us() {
    let begun = Instant::now();
    let (end, _) = run_it(shell("setsid sleep 5 & echo done"), &CancellationToken::new()).await;
    assert!(matches!(end, ProgramEnd::Exited(output) if output.succeeded()));
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn the_lock_given_to_a_program_is_held_as_long_as_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let ready = folder.path().join("ready");
    let file = super::super::lock::try_hold(&path).unwrap().unwrap();
    let mut program = shell(&format!("touch {}; exec sleep 600", ready.display()));
    program.keeps = Some(file.try_clone().unwrap());
    let cancel = CancellationToken::new();
    let running = tokio::spawn({
        let cancel = cancel.clone();
        async move { run_it(program, &cancel).await.0 }
    });
    wait_until("the program runs", || ready.exists()).await;
    drop(file);
    assert!(super::super::lock::try_hold(&path).unwrap().is_none());
    cancel.cancel();
    running.await.unwrap();
    assert!(super::super::lock::try_hold(&path).unwrap().is_some());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_of_starting() {
    let error = run(Program::quick("/nonexistent/uv", ["--version"]), &CancellationToken::new(), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

//! Homes of every kind: wherever they are and whatever they are called, and those that cannot be one.

use std::path::Path;

use orchestrator_tests::home::{self, Outcome};
use orchestrator_tests::processes::{is_alive, kill};
use orchestrator_tests::{Behaviour, TestHome, wait_until};
use serde_json::Value;

/// Runs `orch` with a home that is named otherwise.
fn orch_in(home: &TestHome, named: &Path, folder: &Path, arguments: &[&str]) -> Outcome {
    let mut command = home.command(arguments);
    command.env("ORCH_HOME", named).current_dir(folder);
    home::run(command)
}

/// Goes the whole way: a daemon that is killed, a server that is found again by another command, an end.
#[track_caller]
fn whole_way(home: &TestHome, named: &Path, folder: &Path) -> Value {
    home.add("demo", &Behaviour::default());
    let run = |arguments: &[&str]| orch_in(home, named, folder, arguments).assert_ok();
    run(&["up", "demo"]);
    let status = run(&["daemon", "status", "--json"]).json();
    let row = run(&["ps", "--json"]).json()[0].clone();
    assert_eq!(row["state"], "ready");
    let daemon = u32::try_from(status["pid"].as_u64().unwrap()).unwrap();
    kill(daemon);
    wait_until("the daemon is gone", home::SOON, || (!is_alive(daemon)).then_some(()));
    assert_eq!(run(&["ps", "--json"]).json()[0]["pid"], row["pid"]);
    assert!(run(&["logs", "demo"]).stdout.contains("server is listening"));
    run(&["down", "demo"]);
    run(&["daemon", "stop", "--all"]);
    wait_until("nothing runs any more", home::SOON, || home.processes().is_empty().then_some(()));
    status
}

#[test]
fn a_home_may_be_called_anything() {
    let long = format!("{}/{}", "long".repeat(30), "longer".repeat(30));
    for inside in ["", "with spaces and \"quotes\"", "größe 模型", "-leading=dash", long.as_str()] {
        let home = TestHome::in_folder(inside);
        let status = whole_way(&home, home.path(), home.folder());
        assert_eq!(status["home"], home.path().to_str().unwrap().trim_end_matches('/'), "{inside}");
    }
}

#[test]
fn a_home_may_be_named_relative_to_where_one_stands() {
    let home = TestHome::in_folder("a/home");
    let status = whole_way(&home, Path::new("../home"), &home.folder().join("a/home"));
    assert_eq!(status["home"], home.path().to_str().unwrap());
}

#[test]
fn a_home_behind_a_link_is_the_same_home() {
    let home = TestHome::in_folder("real/home");
    let link = home.folder().join("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    home.add("demo", &Behaviour::default());
    orch_in(&home, &link, home.folder(), &["up", "demo"]).assert_ok();
    // The other name reaches the same daemon, alive or not.
    assert_eq!(home.row("demo")["state"], "ready");
    let (pid, daemon) = (home.pid("demo"), home.daemon_pid());
    kill(daemon);
    wait_until("the daemon is gone", home::SOON, || (!is_alive(daemon)).then_some(()));
    assert_eq!(home.pid("demo"), pid);
    orch_in(&home, &link, home.folder(), &["down", "demo"]).assert_ok();
    whole_way(&home, &link, home.folder());
}

/// Spoils a home that is still empty.
type Spoil = fn(&Path) -> std::io::Result<()>;

#[test]
fn a_home_that_cannot_be_one_is_refused_with_what_stands_in_the_way() {
    let cases: [(&str, Spoil, u8, &[&str]); 5] = [
        ("a file", |home| std::fs::write(home, ""), 14, &["daemon.log", "place` stands where a folder is needed", "--home"]),
        ("a dead link", |home| std::os::unix::fs::symlink("/gone/home", home), 14, &["place` stands where a folder is needed"]),
        (
            "a file for the state",
            |home| std::fs::create_dir(home).and_then(|()| std::fs::write(home.join("state"), "")),
            14,
            &["place/state` stands where a folder is needed"],
        ),
        (
            "a file for the logs",
            |home| std::fs::create_dir(home).and_then(|()| std::fs::write(home.join("logs"), "")),
            14,
            &["place/logs` stands where a folder is needed"],
        ),
        (
            "a full disk",
            |home| {
                std::fs::create_dir_all(home.join("logs"))
                    .and_then(|()| std::os::unix::fs::symlink("/dev/full", home.join("logs/daemon.log")))
            },
            54,
            &["No space left on device", "free some space"],
        ),
    ];
    for (what, spoil, status, words) in cases {
        let home = TestHome::new();
        let place = home.folder().join("place");
        spoil(&place).unwrap();
        let outcome = orch_in(&home, &place, home.folder(), &["ps"]).assert_fails(status, words);
        assert!(outcome.stdout.is_empty(), "{what}: {outcome:#?}");
    }
}

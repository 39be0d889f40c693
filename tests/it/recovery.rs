//! The daemon is killed, its database is spoiled, and nothing that runs is lost or started twice.

use std::io::Write as _;

use orchestrator_tests::behaviour::Grandchild;
use orchestrator_tests::home::{self, SOON};
use orchestrator_tests::processes::{is_alive, kill};
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use serde_json::json;

use crate::support::{only_daemon_runs, starts};

/// Kills the daemon and waits until it is gone.
fn kill_daemon(home: &TestHome) -> u32 {
    let pid = home.daemon_pid();
    kill(pid);
    wait_until("the daemon is gone", SOON, || (!is_alive(pid)).then_some(()));
    pid
}

#[test]
fn a_killed_daemon_is_followed_by_one_that_finds_every_server_with_its_old_pid() {
    let home = TestHome::new();
    for name in ["a", "b", "c"] {
        home.add(name, &Behaviour::default());
    }
    home.orch(&["up", "a", "b", "c"]).assert_ok();
    let pids = ["a", "b", "c"].map(|name| home.pid(name));
    let old = kill_daemon(&home);
    assert!(pids.iter().all(|pid| is_alive(*pid)), "a server died with the daemon");
    assert_eq!(["a", "b", "c"].map(|name| home.pid(name)), pids);
    assert_ne!(home.daemon_pid(), old);
    for name in ["a", "b", "c"] {
        home.wait_for_row(name, "it is ready", |row| row["state"] == "ready" && row["restarts"] == 0);
    }
    let body = json!({ "model": "b", "messages": [{ "role": "user", "content": "hi" }] });
    let answer = http::send(&home.endpoint(), "POST", "/v1/chat/completions", body.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(home.stats("b").requests, 1);
    let events = home.orch(&["events", "--tail", "100"]).assert_ok().stdout;
    assert!(events.contains("taken over") || events.contains("adopted"), "{events}");
}

#[test]
fn an_adopted_server_is_watched_restarted_and_stopped_like_any_other() {
    let home = TestHome::new();
    home.add("demo", &Behaviour { grandchild: Some(Grandchild::Sleeps), ignore_sigterm: true, ..Behaviour::default() });
    home.orch(&["up", "demo"]).assert_ok();
    let first = home.pid("demo");
    kill_daemon(&home);
    assert_eq!(home.pid("demo"), first);
    kill(first);
    home.wait_for_row("demo", "it is ready again", |row| row["state"] == "ready" && row["pid"] != first);
    kill_daemon(&home);
    home.orch(&["ps"]).assert_ok();
    home.orch(&["down", "demo"]).assert_ok();
    only_daemon_runs(&home, "after the end of an adopted server");
}

#[test]
fn a_server_that_was_loading_when_the_daemon_was_killed_is_not_started_twice() {
    let home = TestHome::new();
    let starts_file = home.path().join("starts");
    home.add("demo", &Behaviour { load_ms: 1_500, starts_file: Some(starts_file.clone()), ..Behaviour::default() });
    home.orch(&["up", "--no-wait", "demo"]).assert_ok();
    home.wait_for_row("demo", "it loads", |row| row["state"] == "loading");
    kill_daemon(&home);
    home.wait_for_row("demo", "it is ready", |row| row["state"] == "ready");
    assert_eq!(starts(&starts_file), 1);
}

#[test]
fn a_server_that_died_without_a_daemon_is_started_again_and_a_stopped_one_is_not() {
    let home = TestHome::new();
    home.add("wanted", &Behaviour::default());
    home.add("unwanted", &Behaviour::default());
    home.orch(&["up", "wanted", "unwanted"]).assert_ok();
    home.orch(&["down", "unwanted"]).assert_ok();
    let first = home.pid("wanted");
    kill_daemon(&home);
    kill(first);
    home.wait_for_row("wanted", "it runs again", |row| row["state"] == "ready" && row["pid"] != first);
    assert_eq!(home.row("unwanted")["state"], "stopped");
}

#[test]
fn servers_are_found_again_after_the_database_was_spoiled() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let first = home.pid("demo");
    kill_daemon(&home);
    let state = home.path().join("state");
    std::fs::write(state.join("orchestrator.sqlite"), "this is no database").unwrap();
    assert_eq!(home.pid("demo"), first);
    let kept = std::fs::read_dir(&state)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("corrupt"))
        .count();
    assert!(kept >= 1, "the spoiled database was not kept");
    let events = home.orch(&["events", "--tail", "100"]).assert_ok().stdout;
    assert!(events.contains("database"), "{events}");
    home.orch(&["down", "demo"]).assert_ok();
    assert!(!is_alive(first));
}

#[test]
fn a_newer_database_is_refused_and_stays_as_it_is() {
    let home = TestHome::new();
    home.orch(&["ps"]).assert_ok();
    home.orch(&["daemon", "stop"]).assert_ok();
    let database = home.path().join("state/orchestrator.sqlite");
    let mut bytes = std::fs::read(&database).unwrap();
    // The schema version stands at byte 60 of the file.
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    std::fs::write(&database, &bytes).unwrap();
    home.orch(&["ps"]).assert_fails(62, &["99", "hint:", "newer"]);
    assert_eq!(std::fs::read(&database).unwrap(), bytes);
}

#[test]
fn many_commands_at_once_start_one_daemon() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    let children: Vec<_> = (0..8).map(|_| home.command(&["ps", "--json"]).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let daemons = || home.processes().into_iter().filter(|process| process.command.contains("serve")).collect::<Vec<_>>();
    wait_until("one daemon is left", SOON, || (daemons().len() == 1).then_some(()));
}

#[test]
fn a_second_daemon_is_refused_and_names_the_first() {
    let home = TestHome::new();
    let pid = {
        home.orch(&["ps"]).assert_ok();
        home.daemon_pid()
    };
    home.orch(&["serve"]).assert_fails(61, &[&pid.to_string()]);
    assert_eq!(home.daemon_pid(), pid);
}

#[test]
fn an_interrupted_daemon_leaves_its_servers_and_ends() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let (daemon, server) = (home.daemon_pid(), home.pid("demo"));
    orchestrator_tests::processes::signal(daemon, rustix::process::Signal::TERM);
    wait_until("the daemon ends", SOON, || (!is_alive(daemon)).then_some(()));
    assert!(is_alive(server));
    assert_eq!(home.pid("demo"), server);
}

#[test]
fn a_socket_and_a_lock_that_were_left_behind_are_no_obstacle() {
    let home = TestHome::new();
    home.orch(&["ps"]).assert_ok();
    kill_daemon(&home);
    assert!(home.path().join("state/daemon.sock").exists());
    let mut lock = std::fs::OpenOptions::new().append(true).create(true).open(home.path().join("state/daemon.lock")).unwrap();
    lock.write_all(b"garbage").unwrap();
    home.orch(&["ps"]).assert_ok();
}

/// The order of a random mix matters less than that each round ends in what was asked for.
#[test]
fn killing_the_daemon_again_and_again_loses_no_acknowledged_change() {
    let home = TestHome::new();
    for name in ["a", "b"] {
        home.add(name, &Behaviour { load_ms: 50, ..Behaviour::default() });
    }
    for round in 0..6u32 {
        let (up, down) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        home.orch(&["up", up]).assert_ok();
        let outcome = home.orch(&["down", down]);
        assert!([0, 27].contains(&outcome.status), "{outcome:#?}");
        let pid = home.pid(up);
        kill_daemon(&home);
        assert_eq!(home.row(up)["pid"], pid, "round {round}");
        let row = home.row(down);
        assert_eq!(row["state"], "stopped", "round {round}: {row}");
    }
    let status = home::run(home.command(&["doctor", "--json"]));
    assert!(status.stdout.contains("checks"), "{status:#?}");
}

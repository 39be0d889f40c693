//! What other orchestrators got wrong, by name. What needs a scheduler for it is in `scheduling`.

use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use orchestrator_tests::home::{SOON, fake_engine};
use orchestrator_tests::processes::{is_alive, kill};
use orchestrator_tests::{Behaviour, TestHome, wait_until};
use serde_json::json;

use crate::support::{Edit as _, chat_status, only_daemon_runs, starts};

#[test]
fn a_child_that_is_killed_while_it_loads_does_not_wedge_the_queue() {
    let home = TestHome::new();
    let starts_file = home.path().join("starts");
    let behaviour = Behaviour { load_ms: 1_500, starts_file: Some(starts_file.clone()), ..Behaviour::default() };
    home.write_config("demo", &home.config("demo", &behaviour).edit("/concurrency", json!(1)));
    let endpoint = home.endpoint();
    let waiting: Vec<_> = (0..6)
        .map(|_| {
            let endpoint = endpoint.clone();
            thread::spawn(move || chat_status(&endpoint, "demo"))
        })
        .collect();
    home.wait_for_row("demo", "it loads", |row| row["state"] == "loading" && row["pid"].is_u64());
    kill(home.pid("demo"));
    for client in waiting {
        let status = client.join().unwrap();
        // Whoever is not served by the next one is told so, and when to come back.
        assert!([200, 502, 503].contains(&status), "{status}");
    }
    home.wait_for_row("demo", "it is ready", |row| row["state"] == "ready");
    for _ in 0..3 {
        assert_eq!(chat_status(&endpoint, "demo"), 200, "the queue is wedged");
    }
    assert_eq!(starts(&starts_file), 2, "one start for all who waited, and one after the kill");
}

#[test]
fn a_forking_wrapper_can_be_killed() {
    // What people write to set up an engine: it does not `exec`, it does not care for signals, and it stays.
    let wrappers = [
        ("waits", "trap '' TERM HUP INT\n\"$ENGINE\" \"$@\" &\nwait\nsleep 300\n"),
        ("leaves the session", "trap '' TERM\nsetsid \"$ENGINE\" \"$@\" &\nwhile true; do sleep 1; done\n"),
        ("ends at once", "setsid \"$ENGINE\" \"$@\" </dev/null &\nsleep 0.7\nexit 0\n"),
    ];
    for (what, text) in wrappers {
        let home = TestHome::new();
        let wrapper = home.path().join("llama-server");
        std::fs::write(&wrapper, format!("#!/bin/sh\nENGINE='{}'\n{text}", fake_engine().display())).unwrap();
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = home.config("demo", &Behaviour { ignore_sigterm: true, ..Behaviour::default() });
        let config = config.edit("/engine/binary", json!(wrapper)).edit("/stop/grace", json!("300ms"));
        home.write_config("demo", &config.edit("/restart_policy", json!({ "enabled": false })));
        // The last one is not believed for long, but it has an engine while it is.
        home.orch(&["up", "demo"]);
        let outcome = home.orch(&["down", "demo"]);
        assert!([0, 27].contains(&outcome.status), "{what}: {outcome:#?}");
        only_daemon_runs(&home, what);
    }
}

#[test]
fn a_changed_configuration_stops_nobody_but_whom_it_concerns() {
    let home = TestHome::new();
    for name in ["a", "b", "c"] {
        home.add(name, &Behaviour::default());
    }
    home.orch(&["up", "a", "b", "c"]).assert_ok();
    let pids = ["a", "b", "c"].map(|name| home.pid(name));
    // A good change, a bad one, and a new instance.
    home.write_config("a", &home.config("a", &Behaviour::default()).edit("/env/CHANGED", json!("yes")));
    home.write_config_text("b", "{ \"name\": \"b\", ");
    home.add("d", &Behaviour::default());
    let listed = home.orch(&["ps"]).assert_ok();
    assert!(listed.stderr.contains("config.json") || listed.stdout.contains("config.json"), "the bad file is not named: {listed:#?}");
    home.orch(&["up", "d"]).assert_ok();
    home.orch(&["restart", "a"]).assert_ok();
    assert_ne!(home.pid("a"), pids[0], "`a` has what was changed");
    assert_eq!([home.pid("b"), home.pid("c")], [pids[1], pids[2]], "a change of others stopped them");
    for name in ["a", "b", "c", "d"] {
        assert_eq!(chat_status(&home.endpoint(), name), 200, "{name}");
    }
    // Nothing of it is lost with the daemon either.
    let daemon = home.daemon_pid();
    kill(daemon);
    wait_until("the daemon is gone", SOON, || (!is_alive(daemon)).then_some(()));
    assert_eq!([home.pid("b"), home.pid("c")], [pids[1], pids[2]], "the next daemon stopped them");
}

//! Instances come up, serve, fail, come back, and go down.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use orchestrator_tests::behaviour::{ExitAtStart, Grandchild};
use orchestrator_tests::home::SOON;
use orchestrator_tests::processes::{is_alive, kill, signal};
use orchestrator_tests::{Behaviour, TestHome, http, wait_until};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Edit as _, only_daemon_runs, starts};

#[test]
fn three_instances_started_at_once_are_ready_on_three_ports() {
    let home = TestHome::new();
    for name in ["a", "b", "c"] {
        home.add(name, &Behaviour { load_ms: 300, ..Behaviour::default() });
    }
    home.orch(&["up", "a", "b", "c"]).assert_ok();
    let rows = home.json(&["ps"]);
    let rows = rows.as_array().unwrap();
    let ports: BTreeSet<_> = rows.iter().map(|row| row["port"].as_u64().unwrap()).collect();
    let pids: BTreeSet<_> = rows.iter().map(|row| row["pid"].as_u64().unwrap()).collect();
    assert_eq!((rows.len(), ports.len(), pids.len()), (3, 3, 3), "{rows:?}");
    for row in rows {
        assert_eq!((&row["state"], &row["health"]), (&json!("ready"), &json!("healthy")), "{row}");
        let models = http::send(&format!("127.0.0.1:{}", row["port"]), "GET", "/v1/models", b"").unwrap().json();
        assert_eq!(models["data"][0]["id"], row["name"]);
    }
}

#[test]
fn the_rows_of_ps_have_exactly_the_keys_of_the_contract() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    for arguments in [&["up", "demo"], &["down", "demo"]] {
        home.orch(arguments).assert_ok();
        let row = home.row("demo");
        let keys: BTreeSet<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["name", "pid", "port", "runtime", "backend", "device", "model", "state", "health", "uptime_seconds", "memory_mb", "restarts"];
        assert_eq!(keys, BTreeSet::from(expected));
    }
    let row = home.row("demo");
    assert_eq!((&row["pid"], &row["state"], &row["runtime"]), (&json!(null), &json!("stopped"), &json!("llama_cpp")), "{row}");
}

#[test]
fn up_is_done_once_however_often_it_is_asked_for() {
    let home = TestHome::new();
    let starts_file = home.path().join("starts");
    home.add("demo", &Behaviour { load_ms: 300, starts_file: Some(starts_file.clone()), ..Behaviour::default() });
    let children: Vec<_> = (0..4).map(|_| home.command(&["up", "demo"]).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    home.orch(&["up", "demo"]).assert_ok();
    assert_eq!(starts(&starts_file), 1);
}

#[test]
fn an_engine_that_exits_at_once_is_reported_at_once_with_its_last_words() {
    let cases = [
        (127, "llama-server: error while loading shared libraries: libggml.so: cannot open shared object file\n", "libggml.so"),
        (1, "error: invalid argument: --no-such-flag\n", "--no-such-flag"),
        (3, "something nobody has heard of\n", "something nobody has heard of"),
        (0, "goodbye\n", "goodbye"),
    ];
    for (status, stderr, expected) in cases {
        let home = TestHome::new();
        let end = ExitAtStart { status, stderr: stderr.to_owned() };
        home.add("demo", &Behaviour { exit_at_start: Some(end), ..Behaviour::default() });
        // The daemon's own start is not what is measured.
        home.orch(&["ps"]).assert_ok();
        let begun = Instant::now();
        home.orch(&["up", "demo"]).assert_fails(21, &["demo", expected, "hint:"]);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(home.orch(&["logs", "demo", "--stream", "stderr"]).assert_ok().stdout.contains(stderr.trim()));
    }
}

#[test]
fn the_cause_of_a_failure_is_told_in_words() {
    let cases = [
        (
            "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 137438953504\n",
            "out_of_memory",
            "it ran out of memory",
        ),
        ("error: invalid argument: --no-such-flag\n", "bad_argument", "it refused an argument"),
        ("couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080\n", "port_taken", "its port was taken"),
        ("error while loading shared libraries: libggml.so: cannot open shared object file\n", "missing_library", "a library is missing"),
        (
            "llama_model_load: error loading model: unknown model architecture: 'zzz'\n",
            "unknown_architecture",
            "it does not know the model's architecture",
        ),
    ];
    for (stderr, kind, words) in cases {
        let home = TestHome::new();
        let end = ExitAtStart { status: 1, stderr: stderr.to_owned() };
        let config = home.config("demo", &Behaviour { exit_at_start: Some(end), ..Behaviour::default() });
        // A port of its own, as another one would be tried where it was ours to choose.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        home.write_config("demo", &config.edit("/server", json!({ "port": port })).edit("/restart_policy/max_retries", json!(0)));
        home.orch(&["up", "--no-wait", "demo"]).assert_ok();
        home.wait_for_row("demo", "it has failed", |row| row["state"] == "failed");
        let description = home.json(&["describe", "demo"]);
        assert_eq!(description["state"]["failure"]["detail"]["cause"]["kind"], kind, "{description}");
        let reason = description["reason"].as_str().unwrap();
        assert!(reason.starts_with("failed since ") && reason.contains(words), "{reason}");
        let events = description["events"].as_array().unwrap();
        assert!(events.len() <= 10 && events.last().unwrap()["message"].as_str().unwrap().contains(words), "{description}");
    }
}

#[test]
fn a_full_memory_is_shown_for_as_long_as_it_is_full() {
    let home = TestHome::new();
    // Every machine is fuller than this.
    std::fs::write(home.path().join("config.yaml"), "gateway: { port: 0 }\nlimits: { memory_warning_percent: 1 }\n").unwrap();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let status = wait_until("the status warns", SOON, || {
        Some(home.json(&["daemon", "status"])).filter(|status| status["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()))
    });
    let message = status["warnings"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("the machine's memory is ") && message.contains("% full"), "{message}");
    assert_eq!(status["runtimes"][0]["status"], "online", "{status}");
    for arguments in [&["ps"][..], &["health"], &["daemon", "status"]] {
        let outcome = home.orch(arguments).assert_ok();
        assert!(outcome.stderr.contains("warning: the machine's memory is "), "{arguments:?}: {}", outcome.stderr);
    }
    let events = home.orch(&["events"]).assert_ok().stdout;
    assert_eq!(events.matches("the machine's memory is ").count(), 1, "one warning: {events}");
    let text = home.orch(&["health"]).assert_ok().stdout;
    assert!(text.contains("The runtime llama_cpp is online: 1 of 1 instances healthy."), "{text}");
    assert_eq!(home.json(&["health"])[0]["runtime_status"], "online");
}

#[test]
fn a_failure_that_would_come_again_is_not_repeated() {
    let home = TestHome::new();
    let starts_file = home.path().join("starts");
    let end = ExitAtStart { status: 1, stderr: "error: invalid argument: --no-such-flag\n".to_owned() };
    home.add("demo", &Behaviour { exit_at_start: Some(end), starts_file: Some(starts_file.clone()), ..Behaviour::default() });
    home.orch(&["up", "demo"]).assert_fails(21, &["refused an argument"]);
    home.wait_for_row("demo", "it is given up", |row| row["state"] == "failed");
    assert_eq!(starts(&starts_file), 1);
}

#[test]
fn an_engine_that_crashes_again_and_again_is_given_up_after_its_retries() {
    let home = TestHome::new();
    let starts_file = home.path().join("starts");
    let end = ExitAtStart { status: 3, stderr: "no idea\n".to_owned() };
    let behaviour = Behaviour { exit_at_start: Some(end), starts_file: Some(starts_file.clone()), ..Behaviour::default() };
    let config = home.config("demo", &behaviour).edit("/restart_policy/max_retries", json!(2));
    home.write_config("demo", &config);
    home.orch(&["up", "--no-wait", "demo"]).assert_ok();
    let row = home.wait_for_row("demo", "it is given up", |row| row["state"] == "failed");
    assert_eq!((&row["restarts"], starts(&starts_file)), (&json!(2), 3), "{row}");
    let events = home.orch(&["events", "--tail", "100"]).assert_ok().stdout;
    for phrase in ["`demo` waits for its next start: ", "`demo` has failed: "] {
        assert!(events.contains(phrase), "`{phrase}` is missing in {events}");
    }
    // A person's `up` begins anew, and what was mended works.
    home.write_config("demo", &home.config("demo", &Behaviour::default()));
    home.orch(&["up", "demo"]).assert_ok();
}

#[test]
fn an_engine_that_never_becomes_ready_is_ended_and_named() {
    let home = TestHome::new();
    let config = home.config("demo", &Behaviour { never_ready: true, ..Behaviour::default() });
    home.write_config("demo", &config.edit("/healthcheck/start_period", json!("1s")));
    home.orch(&["up", "demo"]).assert_fails(22, &["demo", "ready", "hint:"]);
}

#[test]
fn a_server_that_was_killed_comes_back() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let first = home.pid("demo");
    kill(first);
    let row = home.wait_for_row("demo", "it is ready again", |row| row["state"] == "ready" && row["pid"] != first);
    assert_eq!(row["restarts"], 1, "{row}");
    let events = home.orch(&["events", "--tail", "100"]).assert_ok().stdout;
    assert!(events.contains("SIGKILL"), "{events}");
}

#[test]
fn a_server_that_crashes_later_comes_back() {
    let home = TestHome::new();
    home.add("demo", &Behaviour { crash_after_ms: Some(300), ..Behaviour::default() });
    home.orch(&["up", "demo"]).assert_ok();
    let row = home.wait_for_row("demo", "it was started again", |row| row["restarts"].as_u64() >= Some(1));
    assert_ne!(row["state"], "stopped", "{row}");
}

#[test]
fn a_server_that_hangs_is_replaced() {
    let home = TestHome::new();
    home.add("demo", &Behaviour { hang_after_ms: Some(300), ..Behaviour::default() });
    home.orch(&["up", "demo"]).assert_ok();
    let first = home.pid("demo");
    let row = home.wait_for_row("demo", "it was replaced", |row| row["restarts"].as_u64() >= Some(1));
    wait_until("the one that hung is gone", SOON, || (!is_alive(first)).then_some(()));
    assert_ne!(row["pid"], first, "{row}");
}

#[test]
fn a_server_that_was_stopped_by_a_signal_is_replaced() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let first = home.pid("demo");
    signal(first, Signal::STOP);
    home.wait_for_row("demo", "it was replaced", |row| row["state"] == "ready" && row["pid"] != first);
    assert!(!is_alive(first));
}

#[test]
fn a_server_that_says_it_is_unhealthy_is_shown_as_unhealthy() {
    let home = TestHome::new();
    let behaviour = Behaviour { unhealthy_after_ms: Some(100), ..Behaviour::default() };
    // Long enough to be seen before it is replaced.
    home.write_config("demo", &home.config("demo", &behaviour).edit("/healthcheck/retries", json!(5)));
    home.orch(&["up", "demo"]).assert_ok();
    home.wait_for_row("demo", "it is unhealthy or was replaced", |row| row["health"] == "unhealthy" || row["restarts"] != 0);
    let events = home.orch(&["events", "--tail", "100"]).assert_ok().stdout;
    assert!(events.contains("`demo` is unhealthy"), "{events}");
}

#[test]
fn down_leaves_nothing_behind_whatever_the_engine_did() {
    let cases = [
        ("a good one", Behaviour::default()),
        ("one that ignores SIGTERM", Behaviour { ignore_sigterm: true, ..Behaviour::default() }),
        ("one that is loading", Behaviour { never_ready: true, ..Behaviour::default() }),
        ("one that hangs", Behaviour { hang_after_ms: Some(0), ..Behaviour::default() }),
        ("a sleeping grandchild", Behaviour { grandchild: Some(Grandchild::Sleeps), ..Behaviour::default() }),
        ("a grandchild without environment", Behaviour { grandchild: Some(Grandchild::SleepsWithoutEnvironment), ..Behaviour::default() }),
        ("a listening grandchild", Behaviour { grandchild: Some(Grandchild::Listens), ignore_sigterm: true, ..Behaviour::default() }),
    ];
    let home = TestHome::new();
    for (index, (what, behaviour)) in cases.iter().enumerate() {
        let name = format!("case-{index}");
        home.add(&name, behaviour);
        home.orch(&["up", "--no-wait", &name]).assert_ok();
        home.wait_for_row(&name, what, |row| row["pid"].is_u64() && row["state"] != "starting");
        if behaviour.grandchild.is_some() {
            wait_until("the grandchild is there", SOON, || {
                home.processes().iter().any(|process| process.command.contains("left-behind")).then_some(())
            });
        }
        let begun = Instant::now();
        home.orch(&["down", &name]).assert_ok();
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {:?}", begun.elapsed());
        only_daemon_runs(&home, what);
    }
}

#[test]
fn settings_of_an_engine_in_our_surroundings_do_not_reach_it() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    let mut up = home.command(&["up", "demo"]);
    up.env("LLAMA_ARG_N_PARALLEL", "77").env("SOMETHING_ELSE", "78");
    assert!(up.status().unwrap().success());
    let environment = std::fs::read(format!("/proc/{}/environ", home.pid("demo"))).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("SOMETHING_ELSE=78") && !environment.contains("LLAMA_ARG_N_PARALLEL"), "{environment}");
}

#[test]
fn the_doctor_tells_our_own_server_on_a_port_from_a_stranger() {
    let home = TestHome::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    home.write_config("demo", &home.config("demo", &Behaviour::default()).edit("/server", json!({ "port": port })));
    home.orch(&["up", "demo"]).assert_ok();
    let complains = || {
        let report = orchestrator_tests::home::run(home.command(&["doctor", "--json"])).json();
        let checks = report["checks"].as_array().unwrap().clone();
        checks.iter().any(|check| check["name"] == "ports" && check["result"] != "ok")
    };
    assert!(!complains());
    home.orch(&["daemon", "stop"]).assert_ok();
    assert!(!complains(), "a server of ours without a daemon");
    home.orch(&["down", "demo"]).assert_ok();
    let _stranger = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert!(complains(), "a stranger, with a daemon");
}

#[test]
fn an_engine_that_prints_without_end_does_not_fill_the_disk_and_is_followed() {
    let home = TestHome::new();
    let mib = 16;
    let config = home.config("demo", &Behaviour { flood_mib: mib, ..Behaviour::default() });
    home.write_config("demo", &config.edit("/logs", json!({ "max_size_mb": 1, "rotation": 1 })));
    home.orch(&["up", "demo"]).assert_ok();
    let pid = home.pid("demo");
    let seen = home.path().join("followed");
    let mut follower = home.command(&["logs", "demo", "--follow", "--stream", "stderr"]);
    let mut follower = follower.stdout(std::fs::File::create(&seen).unwrap()).spawn().unwrap();
    wait_until("the follower shows the last line", SOON, || {
        std::fs::read_to_string(&seen).unwrap().ends_with("the flood is over\n").then_some(())
    });
    follower.kill().unwrap();
    follower.wait().unwrap();
    let logs = home.path().join("logs/demo");
    let size = |name: &str| std::fs::metadata(logs.join(name)).unwrap().len();
    // What comes between two looks is more than a log may hold, and still only a part of all.
    assert!(size("stderr.log") + size("stderr.log.1") < (u64::from(mib) * 3) << 18, "{} {}", size("stderr.log"), size("stderr.log.1"));
    assert!(!logs.join("stderr.log.2").exists());
    assert_eq!(home.pid("demo"), pid);
}

#[test]
fn the_end_of_the_daemon_leaves_the_servers_and_with_all_it_leaves_nothing() {
    let home = TestHome::new();
    home.add("a", &Behaviour { grandchild: Some(Grandchild::Sleeps), ..Behaviour::default() });
    home.add("b", &Behaviour { ignore_sigterm: true, ..Behaviour::default() });
    home.orch(&["up", "a", "b"]).assert_ok();
    let pids = [home.pid("a"), home.pid("b")];
    home.orch(&["daemon", "stop"]).assert_ok();
    home.orch(&["daemon", "status"]).assert_fails(60, &[]);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    home.orch(&["daemon", "stop", "--all"]).assert_ok();
    wait_until("nothing runs any more", SOON, || home.processes().is_empty().then_some(()));
}

#[test]
fn a_restart_takes_up_a_changed_configuration() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let first = home.pid("demo");
    let config = home.config("demo", &Behaviour::default()).edit("/model/context_size", json!(2048));
    home.write_config("demo", &config);
    home.orch(&["restart", "demo"]).assert_ok();
    assert_ne!(home.pid("demo"), first);
    let arguments = home.stats("demo").arguments;
    assert!(arguments.windows(2).any(|pair| pair == ["--ctx-size", "2048"]), "{arguments:?}");
    assert_eq!(home.row("demo")["restarts"], 0);
}

#[test]
fn what_is_running_is_removed_only_by_force() {
    let home = TestHome::new();
    home.add("demo", &Behaviour::default());
    home.orch(&["up", "demo"]).assert_ok();
    let pid = home.pid("demo");
    home.orch(&["rm", "demo"]).assert_fails(29, &["demo", "hint:"]);
    assert!(is_alive(pid));
    home.orch(&["rm", "--force", "demo"]).assert_ok();
    assert!(!is_alive(pid));
    assert_eq!(home.json(&["ps"]), json!([]));
    home.orch(&["up", "demo"]).assert_fails(20, &["demo"]);
}

#[test]
fn describe_health_logs_and_events_tell_what_is() {
    let home = TestHome::new();
    let config = home.config("demo", &Behaviour::default()).edit("/aliases", json!(["gpt-4"]));
    home.write_config("demo", &config);
    home.orch(&["health", "demo"]).assert_fails(27, &["demo"]);
    home.orch(&["up", "demo"]).assert_ok();
    home.orch(&["health", "demo"]).assert_ok();
    let description = home.json(&["describe", "demo"]);
    assert_eq!(description["spec"]["aliases"], json!(["gpt-4"]), "{description}");
    let text = home.orch(&["describe", "demo"]).assert_ok().stdout;
    for word in ["demo", "ready", "gpt-4", "model.gguf"] {
        assert!(text.contains(word), "`{word}` is missing in {text}");
    }
    let logs = home.orch(&["logs", "demo"]).assert_ok().stdout;
    assert!(logs.contains("server is listening on http://127.0.0.1:"), "{logs}");
    let lines = home.orch(&["logs", "demo", "--stream", "stderr", "--tail", "1", "--json"]).assert_ok().json();
    assert_eq!(lines["stream"], "stderr");
    let events = home.orch(&["events"]).assert_ok().stdout;
    assert!(events.contains("demo") && events.contains("ready"), "{events}");
    let last: Vec<_> = events.lines().skip(events.lines().count() - 2).map(str::to_owned).collect();
    let shown = home.orch(&["events", "-n", "2"]).assert_ok().stdout;
    assert_eq!(shown.lines().collect::<Vec<_>>(), last);
}

#[test]
fn a_loading_instance_is_shown_as_loading() {
    let home = TestHome::new();
    home.add("demo", &Behaviour { never_ready: true, ..Behaviour::default() });
    home.orch(&["up", "--no-wait", "demo"]).assert_ok();
    let row = home.wait_for_row("demo", "it loads", |row| row["state"] == "loading");
    assert_eq!(row["health"], "loading", "{row}");
}

//! More models than fit: what other orchestrators got wrong about loading and unloading, by name, end to end. The policy
//! itself is tried under simulated time in the core.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use orchestrator_tests::home::SOON;
use orchestrator_tests::processes::is_alive;
use orchestrator_tests::{Behaviour, TestHome, wait_until};
use serde_json::json;

use crate::support::{Edit as _, chat_status};

/// Makes a home that has room for less than there is.
fn narrow_home(limits: &str) -> TestHome {
    let home = TestHome::new();
    std::fs::write(home.path().join("config.yaml"), format!("gateway:\n  port: 0\nlimits:\n  residency: 0ms\n  turn: 100ms\n{limits}"))
        .unwrap();
    home
}

/// The files in which an engine notes its starts and its requests.
struct Notes {
    starts: PathBuf,
    requests: PathBuf,
}

impl Notes {
    fn of(home: &TestHome, name: &str) -> Self {
        Self { starts: home.path().join(format!("{name}.starts")), requests: home.path().join(format!("{name}.requests")) }
    }

    fn behaviour(&self) -> Behaviour {
        Behaviour { starts_file: Some(self.starts.clone()), requests_file: Some(self.requests.clone()), ..Behaviour::default() }
    }

    fn starts(&self) -> usize {
        lines(&self.starts).len()
    }

    fn requests(&self) -> usize {
        lines(&self.requests).len()
    }

    /// The process ids of its starts.
    fn pids(&self) -> Vec<u32> {
        lines(&self.starts).iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    }
}

fn lines(path: &PathBuf) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn asking(endpoint: &str, model: &'static str) -> JoinHandle<u16> {
    let endpoint = endpoint.to_owned();
    thread::spawn(move || chat_status(&endpoint, model))
}

#[test]
fn a_freshly_loaded_model_is_not_evicted_before_its_own_request_is_sent() {
    let home = narrow_home("  max_running: 1\n");
    let notes = ["a", "b"].map(|name| Notes::of(&home, name));
    for (name, notes) in ["a", "b"].into_iter().zip(&notes) {
        home.add(name, &Behaviour { load_ms: 60, ..notes.behaviour() });
    }
    let endpoint = home.endpoint();
    // Both are wanted all the time, so each load has somebody who would have it gone at once.
    let clients: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|model| {
            let endpoint = endpoint.clone();
            thread::spawn(move || (0..8).map(|_| chat_status(&endpoint, model)).collect::<Vec<_>>())
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), [200; 8]);
    }
    for notes in &notes {
        assert_eq!(notes.requests(), 8, "each request was sent once");
        assert!(notes.starts() <= notes.requests(), "a load served nobody: {} starts", notes.starts());
    }
}

#[test]
fn a_loading_model_is_not_evicted() {
    let home = narrow_home("  max_running: 1\n");
    let slow = Notes::of(&home, "slow");
    home.add("slow", &Behaviour { load_ms: 1_200, ..slow.behaviour() });
    home.add("quick", &Behaviour::default());
    let endpoint = home.endpoint();
    let first = asking(&endpoint, "slow");
    let loading = home.wait_for_row("slow", "it loads", |row| row["state"] == "loading" && row["pid"].is_u64());
    // It is the one that was used least recently: it was not used at all yet.
    let others: Vec<_> = (0..4).map(|_| asking(&endpoint, "quick")).collect();
    assert_eq!(first.join().unwrap(), 200);
    for other in others {
        assert_eq!(other.join().unwrap(), 200);
    }
    assert_eq!(slow.starts(), 1, "it was evicted while it loaded, and started again");
    assert_eq!(slow.pids(), [u32::try_from(loading["pid"].as_u64().unwrap()).unwrap()]);
    assert_eq!(slow.requests(), 1);
}

#[test]
fn one_slot_and_several_models_are_no_deadlock() {
    let home = narrow_home("  max_running: 1\n");
    for name in ["a", "b", "c"] {
        home.write_config(
            name,
            &home.config(name, &Behaviour { load_ms: 20, first_byte_ms: 10, ..Behaviour::default() }).edit("/concurrency", json!(1)),
        );
    }
    let endpoint = home.endpoint();
    let clients: Vec<_> = (0..24).map(|number| asking(&endpoint, ["a", "b", "c"][number % 3])).collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    let running = home.json(&["ps"]);
    let ready = running.as_array().unwrap().iter().filter(|row| row["pid"].is_u64()).count();
    assert_eq!(ready, 1, "more than one runs: {running}");
    // It can be told to go, and another can come, while nobody asks for anything.
    home.orch(&["down", "a"]);
    home.orch(&["up", "b"]).assert_ok();
}

#[test]
fn the_next_model_starts_only_when_the_memory_of_the_old_one_is_free() {
    let home = narrow_home("  memory_mb: 1000\n");
    let notes = ["old", "new"].map(|name| Notes::of(&home, name));
    for (name, notes) in ["old", "new"].into_iter().zip(&notes) {
        // It takes its time to end, and keeps its memory for that long.
        let behaviour = Behaviour { ignore_sigterm: true, ..notes.behaviour() };
        let config = home.config(name, &behaviour).edit("/memory", json!({ "host_mb": 700 })).edit("/stop/grace", json!("700ms"));
        home.write_config(name, &config);
    }
    let endpoint = home.endpoint();
    assert_eq!(chat_status(&endpoint, "old"), 200);
    let old = home.pid("old");
    let next = asking(&endpoint, "new");
    let begun = Instant::now();
    let alive_at_start = wait_until("the next one starts", SOON, || (notes[1].starts() > 0).then(|| is_alive(old)));
    assert!(!alive_at_start, "it started while the old one still had its memory");
    assert!(begun.elapsed() >= Duration::from_millis(600), "the old one was not given its time");
    assert_eq!(next.join().unwrap(), 200);
    assert_eq!(home.row("old")["state"], "stopped");
}

#[test]
fn two_models_that_fit_stay_side_by_side() {
    let home = narrow_home("  memory_mb: 1000\n");
    for name in ["a", "b"] {
        home.write_config(name, &home.config(name, &Behaviour::default()).edit("/memory", json!({ "host_mb": 400 })));
    }
    let endpoint = home.endpoint();
    assert_eq!(chat_status(&endpoint, "a"), 200);
    let first = home.pid("a");
    assert_eq!(chat_status(&endpoint, "b"), 200);
    assert_eq!(home.pid("a"), first, "there was room for both");
    assert_eq!(home.row("a")["state"], "ready");
}

#[test]
fn a_pinned_model_stays_and_what_can_never_fit_is_told_with_numbers() {
    let home = narrow_home("  memory_mb: 1000\n");
    home.write_config(
        "pinned",
        &home.config("pinned", &Behaviour::default()).edit("/memory", json!({ "host_mb": 700 })).edit("/pinned", json!(true)),
    );
    home.write_config("giant", &home.config("giant", &Behaviour::default()).edit("/memory", json!({ "host_mb": 4_000 })));
    let endpoint = home.endpoint();
    assert_eq!(chat_status(&endpoint, "pinned"), 200);
    let pinned = home.pid("pinned");
    assert_eq!(chat_status(&endpoint, "giant"), 507);
    home.orch(&["up", "giant"]).assert_fails(35, &["4000", "1000"]);
    assert_eq!(home.pid("pinned"), pinned, "a pinned model was unloaded");
}

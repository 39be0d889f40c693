//! [`Stage`]: where one round of a fault happens, with what several of the faults need.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orchestrator_core::event::Event;
use orchestrator_core::model::demo::{DemoModel, DemoReplies, write_demo_model};
use serde_json::{Value, json};

use super::random::Random;
use super::report::Measures;
use crate::home::SOON;
use crate::http::{self, Response};
use crate::processes::{self, is_alive};
use crate::{Behaviour, TestHome, wait_until};

/// The variable that names a real engine, such as `/usr/bin/llama-server`; some of the faults are then tried on it too.
const REAL_ENGINE: &str = "ORCH_FAULTS_ENGINE";

/// The route of chat requests.
pub(super) const CHAT: &str = "/v1/chat/completions";

/// Where one round happens.
pub(crate) struct Stage<'a> {
    pub(super) home: &'a TestHome,
    pub(super) random: Random,
    measures: &'a mut Measures,
}

impl<'a> Stage<'a> {
    pub(super) fn new(home: &'a TestHome, random: Random, measures: &'a mut Measures) -> Self {
        Self { home, random, measures }
    }

    /// Notes how long something took, and how long 99 of 100 may take.
    pub(super) fn timed(&mut self, what: &'static str, goal: impl Into<Option<Duration>>, took: Duration) {
        self.measures.times.entry(what).or_default().add(goal.into(), took);
    }

    /// Notes how many bytes something took, and how many 99 of 100 may take.
    pub(super) fn weighed(&mut self, what: &'static str, goal: impl Into<Option<u64>>, bytes: u64) {
        self.measures.bytes.entry(what).or_default().add(goal.into(), bytes);
    }

    /// Fails when the daemon panicked, leaves zombies, or is not alone.
    pub(super) fn assert_in_order(&self) {
        let log = self.home.daemon_log();
        assert!(!log.contains("panicked"), "the daemon panicked");
        let Some(daemon) = daemon_of(self.home) else { return };
        wait_until("the daemon has no zombies", Duration::from_secs(2), || zombies_of(daemon).is_empty().then_some(()));
        wait_until("one daemon is left", Duration::from_secs(5), || (daemons(self.home) == [daemon]).then_some(()));
    }
}

/// Returns the configuration of an instance that a real engine serves, where one is named.
pub(super) fn real_config(home: &TestHome, name: &str) -> Option<Value> {
    let engine = std::env::var_os(REAL_ENGINE)?;
    let path = home.path().join("real.gguf");
    write_demo_model(&path, &DemoModel { replies: DemoReplies::Endless, ..DemoModel::default() }).unwrap();
    let mut config = home.config(name, &Behaviour::default());
    config["model"]["path"] = path.to_string_lossy().into();
    config["engine"]["binary"] = engine.to_string_lossy().into();
    Some(config)
}

/// Returns the living daemon of a home, by its lock: asking it would start one.
pub(super) fn daemon_of(home: &TestHome) -> Option<u32> {
    let text = std::fs::read_to_string(home.path().join("state/daemon.lock")).ok()?;
    text.trim().parse().ok().filter(|pid| is_alive(*pid))
}

/// Returns every daemon there is.
pub(super) fn daemons(home: &TestHome) -> Vec<u32> {
    let all = home.processes().into_iter();
    all.filter(|process| process.command.contains("serve --background")).map(|process| process.pid).collect()
}

/// Returns every engine, and whatever engines started.
pub(super) fn engines(home: &TestHome) -> Vec<u32> {
    let all = home.processes().into_iter();
    all.filter(|process| process.command.contains("llama-server")).map(|process| process.pid).collect()
}

/// Kills a process and waits until it is gone.
pub(super) fn kill_and_wait(pid: u32) {
    processes::kill(pid);
    wait_until("the killed process is gone", SOON, || (!is_alive(pid)).then_some(()));
}

fn zombies_of(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
        let mut fields = rest.split(' ');
        fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
    })
    .collect()
}

/// Sends a chat request; `tag` is its message, by which an engine's notes tell it from others.
pub(super) fn chat(endpoint: &str, model: &str, tag: &str, stream: bool) -> std::io::Result<Response> {
    http::send(endpoint, "POST", CHAT, chat_body(model, tag, stream).to_string().as_bytes())
}

/// Returns the body of a chat request.
pub(super) fn chat_body(model: &str, tag: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": tag }] })
}

/// Returns the newest events, oldest first.
#[track_caller]
pub(super) fn events(endpoint: &str, after: u64) -> Vec<Event> {
    let response = http::send(endpoint, "GET", &format!("/api/v1/events?after={after}&limit=1000"), b"").unwrap();
    serde_json::from_value(response.json()).unwrap()
}

/// Returns the number of the newest event.
#[track_caller]
pub(super) fn newest_event(endpoint: &str) -> u64 {
    let response = http::send(endpoint, "GET", "/api/v1/events?limit=1", b"").unwrap();
    let events: Vec<Event> = serde_json::from_value(response.json()).unwrap();
    events.last().map_or(0, |event| event.sequence)
}

/// Waits until there is an instance with the wanted description (`GET /api/v1/instances/NAME`), asking often.
#[track_caller]
pub(super) fn wait_for(endpoint: &str, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    wait_until(&format!("`{name}`: {what}"), SOON, || Some(describe(endpoint, name)).filter(&condition))
}

/// Describes an instance.
#[track_caller]
pub(super) fn describe(endpoint: &str, name: &str) -> Value {
    http::send(endpoint, "GET", &format!("/api/v1/instances/{name}"), b"").unwrap().json()
}

/// Gives an instance an order, such as `up?wait=true`; returns the status and the body of the answer.
#[track_caller]
pub(super) fn order(endpoint: &str, name: &str, order: &str) -> (u16, Value) {
    let response = http::send(endpoint, "POST", &format!("/api/v1/instances/{name}/{order}"), b"{}").unwrap();
    (response.status, response.json())
}

/// Waits until an instance is ready, and returns its process id.
#[track_caller]
pub(super) fn wait_ready(endpoint: &str, name: &str) -> u32 {
    let found = wait_for(endpoint, name, "it is ready", |found| found["summary"]["state"] == "ready");
    pid_in(&found).unwrap()
}

/// Returns the process id in a description.
pub(super) fn pid_in(description: &Value) -> Option<u32> {
    description["summary"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

/// Reads the lines that engines noted in a file.
pub(super) fn notes(home: &TestHome, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(home.path().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Sleeps; what is waited for is chance, not a condition.
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Runs something and returns how long it took.
pub(super) fn timing<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let value = work();
    (value, begun.elapsed())
}

/// Lets threads that go on until this is set end, also when the work beside them failed.
pub(super) struct EndAtLast<'a>(pub(super) &'a AtomicBool);

impl Drop for EndAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

//! An engine is killed: idle, loading, before its first byte, or in the middle of streams.

use std::thread;
use std::time::{Duration, Instant};

use orchestrator_core::event::EventKind;
use serde_json::{Value, json};

use super::observe::now_ms;
use super::stage::{chat, describe, events, newest_event, notes, pause, pid_in, real_config, wait_for, wait_ready};
use super::{Row, Stage};
use crate::home::SOON;
use crate::processes::kill;
use crate::{Behaviour, TestHome, wait_until};

pub(super) const ROW: Row = Row {
    number: 2,
    fault: "kill -9 of an engine: idle, loading, before its first byte, in streams",
    holds: "seen at once, streams end with an error event, sent again only when nothing was answered",
    count: 1_000,
    prepare,
    round,
};

const REQUESTS: &str = "requests";
/// The instance with a real engine.
const REAL: &str = "real";

fn prepare(home: &TestHome) {
    let requests_file = Some(home.path().join(REQUESTS));
    let talker = Behaviour { chunks: 4_000, chunk_ms: 4, requests_file: requests_file.clone(), ..Behaviour::default() };
    let thinker = Behaviour { first_byte_ms: 250, requests_file, ..Behaviour::default() };
    let loader = Behaviour { load_ms: 300, ..Behaviour::default() };
    for (name, behaviour) in [("talker", talker), ("thinker", thinker), ("loader", loader)] {
        home.write_config(name, &often_killed(home.config(name, &behaviour)));
    }
    home.orch(&["up", "talker", "thinker", "loader"]).assert_ok();
    if let Some(config) = real_config(home, REAL) {
        home.write_config(REAL, &often_killed(config));
        home.orch(&["up", REAL]).assert_ok();
    }
}

/// The fake engine that talks, or the real one where there is one.
fn talker(stage: &mut Stage<'_>) -> &'static str {
    if stage.home.path().join("instances").join(REAL).exists() && stage.random.below(2) == 0 { REAL } else { "talker" }
}

/// Gives an instance a restart policy under which it is killed thousands of times and always comes back soon.
fn often_killed(mut config: Value) -> Value {
    config["restart_policy"] = json!({ "initial_delay": "20ms", "max_delay": "40ms", "max_retries": 1_000_000 });
    config
}

fn round(stage: &mut Stage<'_>) {
    let endpoint = stage.home.endpoint();
    match stage.random.below(4) {
        0 => idle(stage, &endpoint),
        1 => loading(stage, &endpoint),
        2 => before_the_first_byte(stage, &endpoint),
        _ => in_streams(stage, &endpoint),
    }
}

/// Kills the server of an instance and waits until that was noted; returns how long it took until then.
fn kill_and_see(endpoint: &str, name: &str, pid: u32) -> (Instant, Duration) {
    let before = newest_event(endpoint);
    let (killed_ms, killed) = (now_ms(), Instant::now());
    kill(pid);
    let seen = wait_until("its end is an event", SOON, || {
        events(endpoint, before).into_iter().find(|event| {
            let is_its_own = event.instance.as_ref().is_some_and(|instance| instance.as_str() == name);
            is_its_own && event.kind == EventKind::InstanceState && event.data["to"] == "backoff"
        })
    });
    assert!(seen.message.contains("SIGKILL"), "{}", seen.message);
    (killed, Duration::from_millis(u64::try_from(seen.at.as_millis() - killed_ms).unwrap_or_default()))
}

fn comes_back(stage: &mut Stage<'_>, endpoint: &str, name: &str, old: u32, killed: Instant) {
    wait_for(endpoint, name, "it is ready again", |found| found["summary"]["state"] == "ready" && pid_in(found) != Some(old));
    stage.timed("ready again", None, killed.elapsed());
}

fn idle(stage: &mut Stage<'_>, endpoint: &str) {
    let name = talker(stage);
    let pid = wait_ready(endpoint, name);
    let (killed, seen) = kill_and_see(endpoint, name, pid);
    stage.timed("seen", Duration::from_millis(20), seen);
    comes_back(stage, endpoint, name, pid, killed);
}

fn loading(stage: &mut Stage<'_>, endpoint: &str) {
    wait_ready(endpoint, "loader");
    stage.home.orch(&["restart", "--no-wait", "loader"]).assert_ok();
    let found = wait_for(endpoint, "loader", "it loads", |found| found["summary"]["state"] == "loading" && pid_in(found).is_some());
    let pid = pid_in(&found).unwrap();
    pause(stage.random.up_to_ms(200));
    let (killed, seen) = kill_and_see(endpoint, "loader", pid);
    stage.timed("seen", Duration::from_millis(20), seen);
    comes_back(stage, endpoint, "loader", pid, killed);
}

fn before_the_first_byte(stage: &mut Stage<'_>, endpoint: &str) {
    let pid = wait_ready(endpoint, "thinker");
    let tag = format!("think-{}", stage.random.next());
    let wait = stage.random.up_to_ms(200);
    let (killed, seen, status) = thread::scope(|scope| {
        let answer = scope.spawn(|| chat(endpoint, "thinker", &tag, false));
        wait_until("the request is at the engine", SOON, || begun(stage, &tag).first().map(|_| ()));
        pause(wait);
        let (killed, seen) = kill_and_see(endpoint, "thinker", pid);
        (killed, seen, answer.join().unwrap().unwrap().status)
    });
    assert_eq!(status, 200, "nothing of the answer was passed on: it can be had a second time");
    assert_eq!(begun(stage, &tag).len(), 2, "sent again, once");
    stage.timed("seen", Duration::from_millis(20), seen);
    stage.timed("answered by the next one", None, killed.elapsed());
}

fn begun(stage: &Stage<'_>, tag: &str) -> Vec<String> {
    notes(stage.home, REQUESTS).into_iter().filter(|line| line == tag).collect()
}

fn in_streams(stage: &mut Stage<'_>, endpoint: &str) {
    let name = talker(stage);
    let pid = wait_ready(endpoint, name);
    let tags: Vec<String> = (0..=stage.random.below(3)).map(|_| format!("talk-{}", stage.random.next())).collect();
    let mut streams: Vec<_> = tags.iter().map(|tag| chat(endpoint, name, tag, true).unwrap()).collect();
    for stream in &mut streams {
        assert_eq!(stream.status, 200);
        assert!(stream.next_piece().unwrap().is_some());
    }
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            thread::spawn(move || {
                let mut text = Vec::new();
                while let Some(piece) = stream.next_piece().unwrap() {
                    text.extend(piece);
                }
                (Instant::now(), String::from_utf8(text).unwrap())
            })
        })
        .collect();
    pause(stage.random.up_to_ms(60));
    let (killed, seen) = kill_and_see(endpoint, name, pid);
    for reader in readers {
        let (ended, text) = reader.join().unwrap();
        let last: Value = serde_json::from_str(crate::http::events(&text).last().unwrap()).unwrap();
        assert!(last["error"]["message"].is_string(), "the stream ends with an error event, not with {last}");
        stage.timed("streams ended", Duration::from_millis(100), ended.saturating_duration_since(killed));
    }
    stage.timed("seen", Duration::from_millis(20), seen);
    comes_back(stage, endpoint, name, pid, killed);
    for tag in tags.iter().filter(|_| name != REAL) {
        assert_eq!(begun(stage, tag).len(), 1, "a stream that had begun was sent again");
    }
    assert_eq!(describe(endpoint, name)["requests_in_flight"], 0);
}

//! The wall clock jumps, again and again, while waits of every kind are under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use orchestrator_core::event::{Event, Timestamp};
use serde_json::{Value, json};

use super::observe::now_ms;
use super::preload::Preload;
use super::random::Random;
use super::stage::{
    EndAtLast, chat, daemon_of, describe, events, kill_and_wait, newest_event, notes, order, pause, pid_in, timing, wait_for, wait_ready,
};
use super::{Row, Stage};
use crate::behaviour::{BadAnswer, ExitAtStart};
use crate::home::SOON;
use crate::{Behaviour, TestHome, wait_until};

pub(super) const ROW: Row = Row {
    number: 20,
    fault: "the wall clock jumps: seconds, hours, days, years, there and back",
    holds: "`ttl`, backoff, timeouts as long as ever, Retry-After true, events in order, servers taken over",
    count: 100,
    prepare,
    round,
};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// How far from the truth the clock may be.
const JUMPS: [i64; 10] = [0, SECOND, -SECOND, 600 * SECOND, -600 * SECOND, 3_600 * SECOND, -3_600 * SECOND, DAY, -DAY, 10 * 365 * DAY];
/// After this long without a request `idle` is unloaded.
const TTL: Duration = Duration::from_secs(1);
/// How often `idle` is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// The wait between two starts of `loop`; a tenth more is jitter.
const DELAY: Duration = Duration::from_millis(300);
/// The wait of `later`, which is not over before a round is.
const LONG_DELAY: Duration = Duration::from_secs(40);
/// How long `silent` may be.
const FIRST_BYTE: Duration = Duration::from_millis(400);
/// What a loaded machine adds to anything.
const SLACK: Duration = Duration::from_millis(750);
const STARTS: &str = "starts";

fn prepare(home: &TestHome) {
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  port: 0\nlimits:\n  first_byte: 400ms\n").unwrap();
    Preload::install(home);
    let mut config = home.config("idle", &Behaviour::default());
    config["ttl"] = "1s".into();
    config["healthcheck"]["interval"] = "100ms".into();
    home.write_config("idle", &config);
    let end = |word: &str| Some(ExitAtStart { status: 3, stderr: format!("{word}\n") });
    let mut config =
        home.config("loop", &Behaviour { exit_at_start: end("loop"), starts_file: Some(home.path().join(STARTS)), ..Behaviour::default() });
    config["restart_policy"] = json!({ "initial_delay": "300ms", "max_delay": "300ms", "max_retries": 1_000_000 });
    home.write_config("loop", &config);
    let mut config = home.config("later", &Behaviour { exit_at_start: end("later"), ..Behaviour::default() });
    config["restart_policy"] = json!({ "initial_delay": "40s", "max_delay": "40s", "max_retries": 1_000_000 });
    home.write_config("later", &config);
    home.add("silent", &Behaviour { bad_answer: Some(BadAnswer::Silence), ..Behaviour::default() });
    home.add("steady", &Behaviour { first_byte_ms: 200, ..Behaviour::default() });
    home.orch(&["up", "silent", "steady"]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let endpoint = home.endpoint();
    let preload = Preload::of(home);
    let steady = wait_ready(&endpoint, "steady");
    let before = newest_event(&endpoint);
    let ending = AtomicBool::new(false);
    let random = stage.random.fork();
    // One jump is far in any case, and there before anything happens.
    preload.set_clock_ahead(*stage.random.pick(&[DAY, -DAY]));
    let (idle, delays, silences) = thread::scope(|scope| {
        let _ends = EndAtLast(&ending);
        scope.spawn(|| jump_until(&preload, random, &ending));
        let idle = scope.spawn(|| idle(&endpoint));
        let delays = scope.spawn(|| delays(home, &endpoint));
        let silences = scope.spawn(|| (0..3).filter_map(|_| silence(&endpoint)).collect::<Vec<_>>());
        later(&endpoint);
        (joined(idle), joined(delays), joined(silences))
    });
    assert!(idle >= TTL, "`idle` was unloaded {idle:?} after its last request, and its `ttl` is {TTL:?}");
    stage.timed("unloaded after its ttl", INTERVAL + SLACK, idle.saturating_sub(TTL));
    for delay in delays {
        assert!(delay >= DELAY, "a start came after {delay:?}, and the delay is {DELAY:?}");
        stage.timed("longer than its delay", DELAY / 10 + SLACK, delay.saturating_sub(DELAY));
    }
    for silence in silences {
        assert!(silence >= FIRST_BYTE, "a silent engine was given up after {silence:?}");
        stage.timed("silence, longer than allowed", SLACK, silence.saturating_sub(FIRST_BYTE));
    }
    assert_eq!(pid_in(&describe(&endpoint, "steady")), Some(steady), "a server was replaced");
    assert_in_order(&events(&endpoint, before));
    if stage.random.below(2) == 0 {
        // The next daemon sees yet another time.
        kill_and_wait(daemon_of(home).unwrap());
        preload.set_clock_ahead(*stage.random.pick(&JUMPS));
        let (_, took) = timing(|| home.orch(&["ps"]).assert_ok());
        stage.timed("serving again", None, took);
        assert_eq!(wait_ready(&home.endpoint(), "steady"), steady, "a server was not taken over");
    }
    for command in [&["ps"][..], &["describe", "steady"], &["events", "--tail", "5"], &["health"]] {
        let outcome = home.orch(command);
        assert!(outcome.status == 0 || command == ["health"], "{outcome:#?}");
    }
    preload.set_clock_ahead(0);
    let endpoint = home.endpoint();
    for name in ["loop", "later", "idle"] {
        let (status, answer) = order(&endpoint, name, "down");
        assert!([200, 409].contains(&status), "{answer}");
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sets the clock to one wrong time after the other.
fn jump_until(preload: &Preload, mut random: Random, ending: &AtomicBool) {
    while !ending.load(Ordering::SeqCst) {
        preload.set_clock_ahead(*random.pick(&JUMPS));
        pause(random.up_to_ms(400));
    }
}

/// Asks `idle` once; returns after how long it is unloaded.
fn idle(endpoint: &str) -> Duration {
    let answer = chat(endpoint, "idle", "hello", false).unwrap();
    let (status, text) = (answer.status, answer.text().unwrap());
    assert_eq!(status, 200, "{text}");
    let answered = Instant::now();
    wait_for(endpoint, "idle", "it is unloaded", |found| found["summary"]["state"] == "stopped");
    answered.elapsed()
}

/// Lets `loop` start a few times; returns what lay between two starts.
fn delays(home: &TestHome, endpoint: &str) -> Vec<Duration> {
    let _ = std::fs::remove_file(home.path().join(STARTS));
    let (status, answer) = order(endpoint, "loop", "up");
    assert_eq!(status, 200, "{answer}");
    let starts: Vec<Instant> =
        (1..=4).map(|count| wait_until("`loop` starts again", SOON, || (notes(home, STARTS).len() >= count).then(Instant::now))).collect();
    // A start is seen up to a look later than it was, and the one after it may be seen at once.
    starts.windows(2).map(|pair| pair[1] - pair[0] + Duration::from_millis(20)).collect()
}

/// Asks `silent`; returns after how long it is given up. Its circuit is open now and then: nobody waits for it then.
fn silence(endpoint: &str) -> Option<Duration> {
    let (answer, took) = timing(|| chat(endpoint, "silent", "hello", false).unwrap());
    let (status, text) = (answer.status, answer.text().unwrap());
    assert!(status == 504 || text.contains("instance.circuit_open"), "{status} {text}");
    let answer = chat(endpoint, "steady", "hello", false).unwrap();
    assert_eq!(answer.status, 200, "a slow engine is not a silent one");
    (status == 504).then_some(took)
}

/// What waits long says how long, whatever the clock shows.
fn later(endpoint: &str) {
    let (status, answer) = order(endpoint, "later", "up");
    assert_eq!(status, 200, "{answer}");
    let since = Instant::now();
    wait_for(endpoint, "later", "it waits for its next start", |found| found["summary"]["state"] == "backoff");
    for _ in 0..12 {
        let left = LONG_DELAY.saturating_sub(since.elapsed()).as_secs();
        let truth = left.saturating_sub(1)..=LONG_DELAY.as_secs() * 11 / 10 + 1;
        let answer = chat(endpoint, "later", "hello", false).unwrap();
        let after: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).unwrap_or_default();
        assert_eq!(answer.status, 503);
        assert!(truth.contains(&after), "Retry-After is {after} s, and the next start comes in about {left} s");
        pause(Duration::from_millis(80));
    }
    let (status, answer) = order(endpoint, "later", "up?wait=true");
    assert_ne!(status, 200);
    assert!(answer.to_string().contains("the next one comes in 4") || answer.to_string().contains("the next one comes in 3"), "{answer}");
}

/// The numbers tell the order, whatever the times of the events say.
fn assert_in_order(events: &[Event]) {
    assert!(events.len() > 5, "{events:#?}");
    assert!(events.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1), "{events:#?}");
    let own = |name: &str| -> Vec<&Value> {
        let of_it = events.iter().filter(|event| event.instance.as_ref().is_some_and(|instance| instance.as_str() == name));
        of_it.filter(|event| event.data["to"].is_string()).map(|event| &event.data).collect()
    };
    for name in ["idle", "loop"] {
        assert!(own(name).windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]), "{events:#?}");
    }
    // The daemon's clock did jump.
    let now = now_ms();
    let far = |at: &Timestamp| (at.as_millis() - now).abs() > 300_000;
    assert!(events.iter().any(|event| far(&event.at)), "no event shows another time: did the clock jump? {events:#?}");
}

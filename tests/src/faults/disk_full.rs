//! A disk that is full: the whole of `state`, `logs`, `models` or `envs`, or from the Nth write of the daemon on, or just
//! then.

use std::time::Duration;

use serde_json::Value;

use super::observe::assert_store_is_sound;
use super::preload::Preload;
use super::small_disk::{Ballast, put_on_small_disk};
use super::stage::{chat, daemon_of, describe, engines, events, kill_and_wait, newest_event, order, pid_in, timing, wait_for, wait_ready};
use super::{Row, Stage};
use crate::home::SOON;
use crate::{Behaviour, TestHome, http, wait_until};

pub(super) const ROW: Row = Row {
    number: 8,
    fault: "a full disk: state, logs, models, envs; from the Nth write on, N = 1…300",
    holds: "507 or done, servers keep running, a sound database, what was acknowledged is so, all works again with room",
    count: 300,
    prepare,
    round,
};

const FOLDERS: [&str; 4] = ["state", "logs", "models", "envs"];
const NAMES: [&str; 2] = ["a", "b"];
/// The one that nobody gives orders, and that answers all the time.
const STEADY: &str = "steady";
/// No later write is the first that finds a full disk.
const LAST_WRITE: u64 = 300;
/// So many writes from the first that fails on, a round may go on with what it wants.
const ENOUGH_WRITES: u64 = 20;
/// No round gives more orders.
const MOST_ORDERS: u64 = 30;
/// An environment that can be asked for; with a full disk it is not even begun.
const ENVIRONMENT: &str = "llama-cpp-cpu";

fn prepare(home: &TestHome) {
    let on_small_disks = FOLDERS.iter().filter(|folder| put_on_small_disk(home, folder)).count();
    assert!([0, FOLDERS.len()].contains(&on_small_disks), "some folders are on small disks and some are not");
    std::fs::write(home.path().join(SMALL_DISKS), on_small_disks.to_string()).unwrap();
    Preload::install(home);
    for name in [NAMES[0], NAMES[1], STEADY] {
        home.add(name, &Behaviour { load_ms: 10, ..Behaviour::default() });
    }
    home.orch(&["up", "a", "b", STEADY]).assert_ok();
    assert!(Preload::of(home).writes() > 0, "the daemon did not load what fills its disk");
}

/// Notes in a home on how many small disks it lies.
const SMALL_DISKS: &str = "small-disks";

/// What is known of an instance from what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    /// The last word was refused: either is right.
    Nothing,
    Wanted,
    Stopped,
}

/// How the disk is full.
enum Full {
    Folder { name: &'static str, _ballast: Ballast },
    Writes { first: u64, what: String },
}

impl Full {
    fn begin(stage: &mut Stage<'_>, preload: &Preload) -> Self {
        let home = stage.home;
        if stage.random.below(3) == 0 {
            let name = *stage.random.pick(&FOLDERS);
            let is_small_disk = std::fs::read_to_string(home.path().join(SMALL_DISKS)).unwrap() != "0";
            if is_small_disk {
                return Self::Folder { name, _ballast: Ballast::fill(&home.path().join(name)) };
            }
        }
        // Sooner more often than later: most of the rounds have fewer writes than that.
        let first = 1 + stage.random.below(LAST_WRITE) * stage.random.below(LAST_WRITE) / LAST_WRITE;
        let last = *stage.random.pick(&[first, first + 3, u64::MAX]);
        preload.fill_disk(first, last);
        Self::Writes { first, what: format!("writes {first} to {last}") }
    }

    /// Returns whether the daemon met it often enough.
    fn is_over(&self, preload: &Preload) -> bool {
        match self {
            Self::Folder { .. } => true,
            Self::Writes { first, .. } => preload.writes() > first + ENOUGH_WRITES,
        }
    }

    fn what(&self) -> &str {
        match self {
            Self::Folder { name, .. } => name,
            Self::Writes { what, .. } => what,
        }
    }
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let endpoint = home.endpoint();
    let preload = Preload::of(home);
    let daemon = daemon_of(home).unwrap();
    let steady = wait_ready(&endpoint, STEADY);
    let mut known = NAMES.map(|name| (name, known_now(&endpoint, name)));
    let full = Full::begin(stage, &preload);
    let most = 1 + stage.random.below(7);
    for number in 0..MOST_ORDERS {
        // Enough of them to come to the write that fails, and to what comes after it.
        if number >= most && full.is_over(&preload) {
            break;
        }
        let (name, known) = &mut known[stage.random.index(NAMES.len())];
        *known = give_order(stage, &endpoint, name, full.what());
        assert_serves(&endpoint, full.what());
    }
    if matches!(full, Full::Folder { name: "envs", .. }) {
        assert_no_environment(&endpoint);
    }
    let before = newest_event(&endpoint);
    let what = full.what().to_owned();
    drop(full);
    let failed = preload.relieve_disk();
    let what = format!("{what}, {failed} writes failed");
    assert_eq!(daemon_of(home), Some(daemon), "{what}: the daemon ended");
    assert_eq!(pid_in(&describe(&endpoint, STEADY)), Some(steady), "{what}: a server was replaced");
    check(&endpoint, &known, &what);
    if stage.random.below(2) == 0 {
        let (status, answer) = order(&endpoint, NAMES[0], "restart?wait=true");
        assert_eq!(status, 200, "{what}: there is room: {answer}");
        known[0].1 = Known::Wanted;
        let ((), took) = timing(|| {
            let is_noted = || (newest_event(&endpoint) > before).then_some(());
            wait_until(&format!("{what}: what happens is written down again"), SOON, is_noted);
        });
        // What could not be written down is tried again every second.
        stage.timed("events again", Duration::from_millis(1_500), took);
    }
    assert_store_is_sound(home);
    // Not only the one who answered knows.
    kill_and_wait(daemon_of(home).unwrap());
    home.orch(&["ps"]).assert_ok();
    let endpoint = home.endpoint();
    assert_eq!(wait_ready(&endpoint, STEADY), steady, "{what}: after the daemon's end a server was replaced");
    check(&endpoint, &known, &format!("{what}, after the daemon's end"));
    let ((), took) = timing(|| {
        for name in NAMES {
            let (status, answer) = order(&endpoint, name, "restart?wait=true");
            assert_eq!(status, 200, "{what}: `{name}` does not work with room: {answer}");
        }
    });
    stage.timed("two restarts with room", None, took);
    assert_eq!(engines(home).len(), NAMES.len() + 1, "{what}: one server for each");
    assert_in_sequence(&endpoint);
}

fn known_now(endpoint: &str, name: &str) -> Known {
    let at_rest = |found: &Value| found["summary"]["state"] == "ready" || found["summary"]["state"] == "stopped";
    let found = wait_for(endpoint, name, "it is ready or stopped", at_rest);
    if found["summary"]["state"] == "ready" { Known::Wanted } else { Known::Stopped }
}

/// Gives an order that is carried out, or refused for want of room.
fn give_order(stage: &mut Stage<'_>, endpoint: &str, name: &str, what: &str) -> Known {
    let verb = *stage.random.pick(&["up", "up?wait=true", "down", "restart", "restart?wait=true"]);
    let ((status, answer), took) = timing(|| order(endpoint, name, verb));
    stage.timed("an answer while the disk is full", Duration::from_secs(1), took);
    match (status, answer["code"].as_str()) {
        (200, _) | (409, Some("instance.not_running")) => {
            if verb == "down" {
                Known::Stopped
            } else {
                Known::Wanted
            }
        }
        (507, Some("env.disk_full")) | (503, _) => {
            assert!(answer["hint"].is_string(), "{what}: {verb}: no way out: {answer}");
            Known::Nothing
        }
        _ => panic!("{what}: {verb} {name}: {status} {answer}"),
    }
}

#[track_caller]
fn assert_serves(endpoint: &str, what: &str) {
    let answer = chat(endpoint, STEADY, "hello", false).unwrap();
    let (status, text) = (answer.status, answer.text().unwrap());
    assert_eq!(status, 200, "{what}: {text}");
    assert_eq!(http::send(endpoint, "GET", "/api/v1/instances", b"").unwrap().status, 200, "{what}");
}

/// An environment that finds no room says so, and nothing of it is left.
fn assert_no_environment(endpoint: &str) {
    let begun = http::send(endpoint, "POST", &format!("/api/v1/envs/{ENVIRONMENT}/create"), b"{}").unwrap();
    let (status, operation) = (begun.status, begun.json());
    assert_eq!(status, 202, "{operation:#}");
    let id = operation["id"].as_str().unwrap();
    let ended = wait_until("the operation ends", SOON, || {
        let operation = http::send(endpoint, "GET", &format!("/api/v1/operations/{id}"), b"").unwrap().json();
        (operation["status"]["status"] != "running").then_some(operation)
    });
    assert!(ended.to_string().contains("env.disk_full"), "{ended:#}");
}

/// What was acknowledged is so.
fn check(endpoint: &str, known: &[(&str, Known)], what: &str) {
    for (name, known) in known {
        match known {
            Known::Nothing => {
                let calm = |found: &Value| ["ready", "stopped", "failed"].contains(&found["summary"]["state"].as_str().unwrap());
                wait_for(endpoint, name, &format!("{what}: it comes to rest"), calm);
            }
            Known::Wanted => {
                wait_for(endpoint, name, &format!("{what}: it is ready, as was acknowledged"), |found| {
                    found["summary"]["state"] == "ready"
                });
            }
            Known::Stopped => {
                let found = describe(endpoint, name);
                assert_eq!(found["summary"]["state"], "stopped", "{what}: `down {name}` was acknowledged: {found:#}");
            }
        }
    }
}

/// The numbers of the events have no gap and no two are the same.
fn assert_in_sequence(endpoint: &str) {
    let newest = newest_event(endpoint);
    let last = events(endpoint, newest.saturating_sub(100));
    assert!(last.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1), "{last:#?}");
}

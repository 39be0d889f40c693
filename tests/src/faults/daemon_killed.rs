//! The daemon is killed at a random instant of mixed work. What it had acknowledged is so afterwards, and no server
//! is lost or started twice.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::observe::assert_store_is_sound;
use super::random::Random;
use super::stage::{chat, daemon_of, engines, pause, pid_in, real_config, wait_for, wait_ready};
use super::{Row, Stage};
use crate::home::SOON;
use crate::processes::{is_alive, kill};
use crate::{Behaviour, TestHome, wait_until};

pub(super) const ROW: Row = Row {
    number: 1,
    fault: "kill -9 of the daemon during mixed work",
    holds: "what was acknowledged is so, servers keep their pids, one daemon, a sound database",
    count: 1_000,
    prepare,
    round,
};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The one that answers streams. Nobody gives it orders: a request starts what was stopped.
const TALKER: &str = "talker";
/// `orch down` of what does not run.
const NOT_RUNNING: i32 = 27;

fn prepare(home: &TestHome) {
    for name in [NAMES[0], NAMES[1], NAMES[2], TALKER] {
        home.add(name, &Behaviour { load_ms: 40, chunks: 40, chunk_ms: 5, ..Behaviour::default() });
    }
    // One of them is real, where there is a real engine.
    if let Some(config) = real_config(home, "c") {
        home.write_config("c", &config);
    }
    home.orch(&["up", NAMES[0], NAMES[1], NAMES[2], TALKER]).assert_ok();
}

/// What is known of an instance from what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    /// The last word was not answered.
    Nothing,
    Runs {
        pid: u32,
    },
    /// It was told to run, and not seen since.
    Wanted,
    Stopped,
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let ending = AtomicBool::new(false);
    let endpoint = home.endpoint();
    let talker = wait_ready(&endpoint, TALKER);
    let kill_after = stage.random.up_to_ms(700);
    let new_name = format!("new-{}", stage.random.below(1_000_000_000));
    let randoms = NAMES.map(|_| stage.random.fork());
    let (known, serving_after) = thread::scope(|scope| {
        let ending = &ending;
        let workers: Vec<_> =
            NAMES.into_iter().zip(randoms).map(|(name, random)| scope.spawn(move || work(home, name, random, ending))).collect();
        let client = scope.spawn(|| stream_until(&endpoint, ending));
        let author = scope.spawn(|| home.orch(&["init", &new_name, "--model", &home.model().to_string_lossy()]));
        pause(kill_after);
        if let Some(daemon) = daemon_of(home) {
            kill(daemon);
        }
        let killed = Instant::now();
        home.orch(&["ps"]).assert_ok();
        let serving_after = killed.elapsed();
        ending.store(true, Ordering::SeqCst);
        author.join().unwrap().assert_ok();
        client.join().unwrap();
        (workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>(), serving_after)
    });
    stage.timed("serving again", Duration::from_millis(250), serving_after);
    check(home, &known, talker);
    let file: PathBuf = home.path().join("instances").join(&new_name);
    assert!(file.join("config.yaml").exists(), "the configuration that `init` acknowledged is gone");
    home.orch(&["rm", &new_name]).assert_ok();
    assert_store_is_sound(home);
    let spoiled =
        std::fs::read_dir(home.path().join("state")).unwrap().flatten().any(|file| file.file_name().to_string_lossy().contains("corrupt"));
    assert!(!spoiled, "the database was put aside");
}

fn check(home: &TestHome, known: &[Known], talker: u32) {
    let endpoint = home.endpoint();
    let mut pids = Vec::new();
    for (name, known) in NAMES.iter().zip(known).chain([(&TALKER, &Known::Runs { pid: talker })]) {
        let at_rest = |state: &str| ["ready", "stopped"].contains(&state);
        let found = wait_for(&endpoint, name, "it is ready or stopped", |found| at_rest(found["summary"]["state"].as_str().unwrap()));
        let state = found["summary"]["state"].as_str().unwrap();
        match known {
            Known::Nothing => {}
            Known::Wanted => assert_eq!(state, "ready", "`up {name}` was acknowledged: {found:#}"),
            Known::Stopped => assert_eq!(state, "stopped", "`down {name}` was acknowledged: {found:#}"),
            Known::Runs { pid } => assert_eq!(pid_in(&found), Some(*pid), "`{name}` ran and nobody stopped it: {found:#}"),
        }
        pids.extend(pid_in(&found));
    }
    pids.sort_unstable();
    let running = || {
        let mut running = engines(home);
        running.sort_unstable();
        running
    };
    let seen = running();
    wait_until(&format!("only the known servers {pids:?} of {seen:?} run"), SOON, || (running() == pids).then_some(()));
}

/// Gives one instance one order after the other, until the round ends.
fn work(home: &TestHome, name: &str, mut random: Random, ending: &AtomicBool) -> Known {
    let mut known = match row_of(home, name) {
        None => Known::Nothing,
        Some(row) => pid_of(&row).map_or(Known::Stopped, |pid| Known::Runs { pid }),
    };
    while !ending.load(Ordering::SeqCst) {
        pause(random.up_to_ms(150));
        let order = *random.pick(&[&["up"][..], &["up", "--no-wait"], &["down"], &["restart"], &["ps"]]);
        if order == ["ps"] {
            home.orch(&["ps"]);
            continue;
        }
        let outcome = home.orch(&[order, &[name]].concat());
        known = match (outcome.status, order[0]) {
            (0 | NOT_RUNNING, "down") => Known::Stopped,
            (0, _) => Known::Wanted,
            _ => Known::Nothing,
        };
        if known == Known::Wanted && !order.contains(&"--no-wait") && !ending.load(Ordering::SeqCst) {
            // `up` and `restart` came back: it is ready, and its process id will not change any more.
            let pid = row_of(home, name).as_ref().and_then(pid_of);
            known = pid.filter(|pid| is_alive(*pid)).map_or(Known::Wanted, |pid| Known::Runs { pid });
        }
    }
    known
}

/// Returns the row of an instance, unless the daemon is killed at this moment.
fn row_of(home: &TestHome, name: &str) -> Option<Value> {
    let outcome = home.orch(&["ps", "--json"]);
    let rows = (outcome.status == 0).then(|| outcome.json())?;
    rows.as_array().unwrap().iter().find(|row| row["name"] == name).cloned()
}

fn pid_of(row: &Value) -> Option<u32> {
    row["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

/// Reads one stream after the other. Each of them ends, whoever is killed.
fn stream_until(endpoint: &str, ending: &AtomicBool) {
    while !ending.load(Ordering::SeqCst) {
        match chat(endpoint, TALKER, "hello", true) {
            Ok(mut answer) => while let Ok(Some(_)) = answer.next_piece() {},
            Err(_) => pause(Duration::from_millis(10)),
        }
    }
}

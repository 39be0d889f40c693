//! Many processes that pull the same model into the same cache at once, half of which are killed.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::Duration;

use super::pulls::{
    Shop, assert_no_parts, assert_nothing_unverified, assert_tokens_stayed, cache_of, files_below, hub_of, installed, open_hub, remove,
    weights,
};
use super::stage::{daemon_of, kill_and_wait, pause, timing};
use super::{Row, Stage};
use crate::home::Outcome;
use crate::hub::{Content, Hub, Limits};
use crate::{TestHome, processes};

pub(super) const ROW: Row = Row {
    number: 13,
    fault: "16 daemons with one cache pull the same model at once, 8 of them are killed",
    holds: "exactly one valid file, all that live have it, no lock is held, no part is left, little is fetched twice",
    count: 50,
    prepare,
    round,
};

const SIZE: u64 = 16 << 20;
const PROCESSES: usize = 16;
/// What may be fetched again for each process that is killed.
const AGAIN: u64 = 8 << 20;

fn prepare(home: &TestHome) {
    open_hub(home);
    home.hold(weights(13, SIZE));
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let (hub, content): (Hub, Content) = (hub_of(home), home.held().unwrap());
    let reference = Shop::HuggingFace.offer(&hub, &format!("m{:x}", stage.random.next()), &content);
    hub.limit(Limits { total: Some((10 + stage.random.below(40)) << 20), send_buffer: Some(64 << 10), ..Limits::default() });
    hub.forget_seen();
    let homes: Vec<TestHome> = (0..PROCESSES).map(|_| home.inside()).collect();
    // The others are let go at their own times, and each of them may be the one that fetches.
    let delays: Vec<Option<Duration>> = (0..PROCESSES).map(|number| (number % 2 == 0).then(|| stage.random.up_to_ms(1_500))).collect();
    let pull = ["model", "pull", &reference, "--yes", "--quiet"];
    let (outcomes, took) = timing(|| {
        thread::scope(|scope| {
            let pulling: Vec<_> = homes.iter().map(|home| scope.spawn(|| home.orch(&pull))).collect();
            for (home, delay) in homes.iter().zip(&delays) {
                scope.spawn(move || kill_after(home, *delay));
            }
            pulling.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<Outcome>>()
        })
    });
    stage.timed("all that live have it", None, took);
    for ((home, outcome), _) in homes.iter().zip(outcomes).zip(&delays).filter(|(_, delay)| delay.is_none()) {
        outcome.assert_ok();
        assert!(installed(&home.endpoint()).contains(&reference), "it is not known to all");
        let log = home.daemon_log();
        assert!(!log.contains("panicked"), "{log}");
    }
    assert_eq!(assert_nothing_unverified(home, &content), 1, "there must be exactly one");
    assert_no_parts(home);
    assert_tokens_stayed(&hub);
    assert_no_lock_is_held(home);
    let kills = PROCESSES as u64 / 2;
    let again = hub.bytes_sent("").saturating_sub(SIZE);
    assert!(again <= kills * AGAIN + (64 << 10), "{again} bytes were fetched again after {kills} kills");
    stage.weighed("fetched again in all", kills * AGAIN, again);
    remove(&homes[1].endpoint(), &reference);
    assert_eq!(assert_nothing_unverified(home, &content), 0, "it is still there");
}

/// Kills what runs in a home, where it is one of those.
fn kill_after(home: &TestHome, delay: Option<Duration>) {
    let Some(delay) = delay else { return };
    pause(delay);
    if let Some(daemon) = daemon_of(home) {
        kill_and_wait(daemon);
    }
    for process in home.processes() {
        processes::kill(process.pid);
    }
}

/// Takes every lock of the cache, and lets it go.
fn assert_no_lock_is_held(home: &TestHome) {
    for path in files_below(&cache_of(home)) {
        if path.extension().is_some_and(|extension| extension == "lock") {
            match File::open(&path).unwrap().try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => panic!("`{}` is held", path.display()),
                Err(TryLockError::Error(error)) => panic!("`{}`: {error}", path.display()),
            }
        }
    }
}

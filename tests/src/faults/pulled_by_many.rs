//! Many processes that pull the same model into the same cache at once, half of which are killed.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::Duration;

use super::pulls::{
    Shop, assert_no_parts, assert_nothing_unverified, assert_tokens_stayed, cache_of, files_below, hub_of, installed, open_hub, remove,
    weights,
};
use super::random::Random;
use super::stage::{daemon_of, kill_and_wait, pause, timing};
use super::{Row, Stage};
use crate::home::{Outcome, SOON};
use crate::hub::{Content, Hub, Limits};
use crate::{TestHome, processes, wait_until};

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
    // Each of them may be the one that fetches: it is killed when so many bytes went out, and a moment later.
    let kills: Vec<Option<Kill>> = (0..PROCESSES).map(|number| (number % 2 == 0).then(|| Kill::at_random(&mut stage.random))).collect();
    let pull = ["model", "pull", &reference, "--yes", "--quiet"];
    let (outcomes, took) = timing(|| {
        thread::scope(|scope| {
            let pulling: Vec<_> = homes.iter().map(|home| scope.spawn(|| home.orch(&pull))).collect();
            for (home, kill) in homes.iter().zip(&kills) {
                let hub = &hub;
                scope.spawn(move || kill.as_ref().map(|kill| kill.perform(home, hub)));
            }
            pulling.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<Outcome>>()
        })
    });
    stage.timed("all that live have it", None, took);
    for ((home, outcome), _) in homes.iter().zip(outcomes).zip(&kills).filter(|(_, kill)| kill.is_none()) {
        outcome.assert_ok();
        assert!(installed(&home.endpoint()).contains(&reference), "it is not known to all");
        let log = home.daemon_log();
        assert!(!log.contains("panicked"), "{log}");
    }
    assert_eq!(assert_nothing_unverified(home, &content), 1, "there must be exactly one");
    assert_no_parts(home);
    assert_tokens_stayed(&hub);
    assert_no_lock_is_held(home);
    let allowed = PROCESSES as u64 / 2 * AGAIN;
    let again = hub.bytes_sent("").saturating_sub(SIZE);
    assert!(again <= allowed + (64 << 10), "{again} bytes were fetched again");
    stage.weighed("fetched again in all", allowed, again);
    remove(&homes[1].endpoint(), &reference);
    assert_eq!(assert_nothing_unverified(home, &content), 0, "it is still there");
}

/// When a process is killed.
struct Kill {
    bytes: u64,
    delay: Duration,
}

impl Kill {
    fn at_random(random: &mut Random) -> Self {
        Self { bytes: random.below(SIZE), delay: random.up_to_ms(100) }
    }

    /// Kills what runs in a home.
    fn perform(&self, home: &TestHome, hub: &Hub) {
        wait_until("so many bytes went out", SOON, || (hub.bytes_sent("") >= self.bytes).then_some(()));
        pause(self.delay);
        if let Some(daemon) = daemon_of(home) {
            kill_and_wait(daemon);
        }
        for process in home.processes() {
            processes::kill(process.pid);
        }
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

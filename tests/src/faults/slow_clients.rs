//! Clients that send their requests byte by byte, or keep connections for nothing, while others work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::crowd::{self, Offence};
use super::observe::{block_on_all, descriptors};
use super::stage::{chat, daemon_of, wait_ready};
use super::{Row, Stage};
use crate::home::SOON;
use crate::{Behaviour, TestHome, wait_until};

pub(super) const ROW: Row = Row {
    number: 18,
    fault: "slow heads, slow bodies and idle connections (`ORCH_FAULTS_CROWD` of them)",
    holds: "others wait no longer than before, offenders are closed within 10 s",
    count: 10,
    prepare,
    round,
};

const QUICK: &str = "quick";
/// How many offenders there are where the environment does not say.
const USUAL: usize = 350;
/// How long an offender may stay.
const CLOSED: Duration = Duration::from_secs(10);
/// What is forgiven to a machine that does other things too.
const SLACK: Duration = Duration::from_secs(2);
/// How often the others ask before the offenders come.
const BEFORE: usize = 300;

fn prepare(home: &TestHome) {
    crowd::raise_descriptor_limit();
    home.add(QUICK, &Behaviour { chunks: 1, ..Behaviour::default() });
    home.orch(&["up", QUICK]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let endpoint = stage.home.endpoint();
    let authority = endpoint.trim_start_matches("http://").to_owned();
    wait_ready(&endpoint, QUICK);
    let daemon = daemon_of(stage.home).unwrap();
    let files_before = descriptors(daemon);
    let before: Vec<_> = (0..BEFORE).map(|_| ask(&endpoint)).collect();
    let total = crowd::size(USUAL);
    // As in the full table: 2,000 slow heads, 500 slow bodies, 1,000 idle ones.
    let offences = (0..total).map(|number| match number * 7 / total {
        0..4 => Offence::SlowHead,
        4 => Offence::SlowBody,
        _ => Offence::Idle,
    });
    let offenders: Vec<_> = offences.map(|offence| offend(authority.clone(), offence)).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let crowd = std::thread::spawn(move || {
        let fates = block_on_all(offenders);
        over.store(true, Ordering::SeqCst);
        fates
    });
    let mut during = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        during.push(ask(&endpoint));
    }
    for (offence, outcome) in crowd.join().unwrap() {
        let took = outcome.unwrap_or_else(|error| panic!("{offence:?}: {error}"));
        assert!(took <= CLOSED + SLACK, "{offence:?}: closed after {took:?}");
        let what = match offence {
            Offence::SlowHead => "a slow head is closed",
            Offence::SlowBody => "a slow body is closed",
            Offence::Idle => "an idle connection is closed",
        };
        stage.timed(what, CLOSED + SLACK / 10, took);
    }
    let (before, during) = (p99(before), p99(during));
    stage.timed("another's answer, p99 before", None, before);
    stage.timed("another's answer, p99 meanwhile", None, during);
    // A millisecond is what a busy machine adds by itself.
    stage.timed("what is added to it beyond a half", Duration::from_millis(1), during.saturating_sub(before * 3 / 2));
    wait_until("the descriptors are back", SOON, || (descriptors(daemon) <= files_before + 8).then_some(()));
}

fn ask(endpoint: &str) -> Duration {
    let begun = Instant::now();
    let answer = chat(endpoint, QUICK, "hello", false).unwrap();
    assert_eq!(answer.status, 200);
    answer.text().unwrap();
    begun.elapsed()
}

fn p99(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[(samples.len() * 99).div_ceil(100) - 1]
}

async fn offend(authority: String, offence: Offence) -> (Offence, std::io::Result<Duration>) {
    (offence, crowd::offend(authority, offence).await)
}

//! The fault table: what may go wrong around the real daemon, tried again and again with a seed, and what must hold.
//!
//! Owns the rounds, the clock and the table that is printed; each fault is in a module of its own. A round fails by
//! panicking, as a test does. The round number `n` of the seed `s` is the first one of the seed `s + n`.

mod bad_backend;
mod canaries;
mod children;
mod clients_abort;
mod clock_jumps;
mod crash_loop;
mod crowd;
mod daemon_killed;
mod damaged_database;
mod disk_full;
mod download_killed;
mod engine_killed;
mod engine_stopped;
mod hostile_names;
mod lying_origin;
mod many_streams;
mod observe;
mod preload;
mod pulled_by_many;
mod pulls;
mod random;
mod report;
mod slow_clients;
mod small_disk;
mod squatter;
mod stage;
mod stale_pids;
mod upgrade;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::TestHome;
use random::Random;
pub use report::{Report, Violation, table};
pub(crate) use stage::Stage;

/// One fault, and how it is tried.
#[derive(Debug)]
pub struct Row {
    /// Its number in the table.
    pub number: u8,
    /// What goes wrong.
    pub fault: &'static str,
    /// What must hold.
    pub holds: &'static str,
    /// How many rounds a full run has.
    pub count: u32,
    prepare: fn(&TestHome),
    round: fn(&mut Stage<'_>),
}

/// All faults, by number.
pub const ROWS: [Row; 20] = [
    daemon_killed::ROW,
    engine_killed::ROW,
    engine_stopped::ROW,
    children::ROW,
    crash_loop::ROW,
    stale_pids::ROW,
    squatter::ROW,
    disk_full::ROW,
    damaged_database::ROW,
    download_killed::ROW,
    lying_origin::ROW,
    pulled_by_many::ROW,
    bad_backend::ROW,
    clients_abort::ROW,
    many_streams::ROW,
    slow_clients::ROW,
    clock_jumps::ROW,
    hostile_names::ROW,
    canaries::ROW,
    upgrade::ROW,
];

/// How long a home is used for rounds. The fake engines end by themselves when nobody ended them for five minutes.
const HOME_LIFE: Duration = Duration::from_secs(200);

/// Returns the row with this number.
#[must_use]
pub fn row(number: u8) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.number == number)
}

/// Tries one fault `count` times. What is violated stands in the report; the next round begins in a new home then.
#[must_use]
pub fn run(row: &'static Row, count: u32, seed: u64) -> Report {
    let begun = Instant::now();
    let mut report = Report::new(row, seed);
    let mut home = None;
    let mut prepared_at = Instant::now();
    for round in 0..count {
        if prepared_at.elapsed() > HOME_LIFE {
            home = None;
        }
        if home.is_none() {
            prepared_at = Instant::now();
        }
        let seed = seed.wrapping_add(round.into());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let home = home.get_or_insert_with(|| prepared(row));
            let mut stage = Stage::new(home, Random::new(seed), &mut report.measures);
            (row.round)(&mut stage);
            stage.assert_in_order();
        }));
        report.tried += 1;
        if let Err(panic) = outcome {
            let log = home.take().map(|home| home.daemon_log()).unwrap_or_default();
            report.violations.push(Violation { seed, what: message_of(panic.as_ref()), log });
        }
    }
    report.took = begun.elapsed();
    report
}

fn prepared(row: &Row) -> TestHome {
    let home = TestHome::new();
    (row.prepare)(&home);
    home
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic without words".to_owned())
}

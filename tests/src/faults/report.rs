//! What came out of the rounds of one fault, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Row;

/// Something that should have held and did not.
#[derive(Debug)]
pub struct Violation {
    /// The seed whose first round shows it.
    pub seed: u64,
    /// What was seen.
    pub what: String,
    /// The daemon's log.
    pub log: String,
}

/// Times of one kind.
#[derive(Debug, Default)]
pub struct Measure {
    /// What 99 of 100 should not exceed, where there is such a goal.
    pub goal: Option<Duration>,
    samples: Vec<Duration>,
}

impl Measure {
    /// Returns the time that this part of the samples does not exceed.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let mut samples = self.samples.clone();
        samples.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a small list"
        )]
        let index = (samples.len() as f64 * part).ceil() as usize;
        samples.get(index.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Returns whether 99 of 100 were in time.
    #[must_use]
    pub fn is_in_time(&self) -> bool {
        self.goal.is_none_or(|goal| self.quantile(0.99) <= goal)
    }

    pub(super) fn add(&mut self, goal: Option<Duration>, took: Duration) {
        self.goal = goal;
        self.samples.push(took);
    }
}

/// The times of one fault, by what was timed.
pub(crate) type Measures = BTreeMap<&'static str, Measure>;

/// What came out of the rounds of one fault.
#[derive(Debug)]
pub struct Report {
    /// The fault.
    pub row: &'static Row,
    /// The first round's seed.
    pub seed: u64,
    /// How many rounds there were.
    pub tried: u32,
    /// What did not hold, in order.
    pub violations: Vec<Violation>,
    /// The times, by what was timed.
    pub measures: BTreeMap<&'static str, Measure>,
    /// How long all rounds took.
    pub took: Duration,
}

impl Report {
    pub(super) fn new(row: &'static Row, seed: u64) -> Self {
        Self { row, seed, tried: 0, violations: Vec::new(), measures: BTreeMap::new(), took: Duration::ZERO }
    }

    /// Returns in how many rounds everything held.
    #[must_use]
    pub fn held(&self) -> usize {
        (self.tried as usize).saturating_sub(self.violations.len())
    }

    fn lines(&self) -> String {
        let Row { number, fault, .. } = self.row;
        let mut text = String::new();
        let mut head = format!("| {number} | {fault} | {} | {} | {} |", self.tried, self.held(), self.seed);
        for (what, measure) in &self.measures {
            let goal = measure.goal.map_or_else(|| "–".to_owned(), show);
            let late = if measure.is_in_time() { "" } else { " (late)" };
            let [median, most, worst] = [0.5, 0.99, 1.0].map(|part| show(measure.quantile(part)));
            let _ = writeln!(text, "{head} {what} | {median} | {most}{late} | {worst} | {goal} |");
            "| | | | | |".clone_into(&mut head);
        }
        if self.measures.is_empty() {
            let _ = writeln!(text, "{head} – | – | – | – | – |");
        }
        text
    }
}

/// Writes the table of several faults.
#[must_use]
pub fn table(reports: &[Report]) -> String {
    let head =
        "| row | fault | tried | held | seed | timed | median | p99 | worst | goal (p99) |\n|--:|---|--:|--:|--:|---|--:|--:|--:|--:|\n";
    head.to_owned() + &reports.iter().map(Report::lines).collect::<String>()
}

fn show(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.1} ms"),
        ..10_000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.1} s", milliseconds / 1_000.0),
    }
}

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

/// Something that was measured: a time, or a number of bytes.
pub trait Quantity: Copy + Ord + Default {
    /// Writes it with its unit.
    fn show(self) -> String;
}

impl Quantity for Duration {
    fn show(self) -> String {
        let milliseconds = self.as_secs_f64() * 1_000.0;
        match milliseconds {
            ..10.0 => format!("{milliseconds:.1} ms"),
            ..10_000.0 => format!("{milliseconds:.0} ms"),
            _ => format!("{:.1} s", milliseconds / 1_000.0),
        }
    }
}

impl Quantity for u64 {
    fn show(self) -> String {
        format!("{} KiB", self.div_ceil(1_024))
    }
}

/// Measures of one kind.
#[derive(Debug)]
pub struct Measure<T> {
    /// What 99 of 100 should not exceed, where there is such a goal.
    pub goal: Option<T>,
    samples: Vec<T>,
}

impl<T> Default for Measure<T> {
    fn default() -> Self {
        Self { goal: None, samples: Vec::new() }
    }
}

impl<T: Quantity> Measure<T> {
    /// Returns what this part of the samples does not exceed.
    #[must_use]
    pub fn quantile(&self, part: f64) -> T {
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

    /// Returns whether 99 of 100 were within the goal.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.goal.is_none_or(|goal| self.quantile(0.99) <= goal)
    }

    pub(super) fn add(&mut self, goal: Option<T>, sample: T) {
        self.goal = goal;
        self.samples.push(sample);
    }

    fn columns(&self, what: &str, complaint: &str) -> String {
        let goal = self.goal.map_or_else(|| "–".to_owned(), Quantity::show);
        let late = if self.is_within() { "" } else { complaint };
        let [median, most, worst] = [0.5, 0.99, 1.0].map(|part| self.quantile(part).show());
        format!("{what} | {median} | {most}{late} | {worst} | {goal}")
    }
}

/// What was measured in the rounds of one fault, by what it was.
#[derive(Debug, Default)]
pub struct Measures {
    /// How long something took.
    pub times: BTreeMap<&'static str, Measure<Duration>>,
    /// How many bytes something took.
    pub bytes: BTreeMap<&'static str, Measure<u64>>,
}

impl Measures {
    fn columns(&self) -> Vec<String> {
        let times = self.times.iter().map(|(what, measure)| measure.columns(what, " (late)"));
        times.chain(self.bytes.iter().map(|(what, measure)| measure.columns(what, " (too many)"))).collect()
    }
}

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
    /// What was measured.
    pub measures: Measures,
    /// How long all rounds took.
    pub took: Duration,
}

impl Report {
    pub(super) fn new(row: &'static Row, seed: u64) -> Self {
        Self { row, seed, tried: 0, violations: Vec::new(), measures: Measures::default(), took: Duration::ZERO }
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
        for columns in self.measures.columns() {
            let _ = writeln!(text, "{head} {columns} |");
            "| | | | | |".clone_into(&mut head);
        }
        if text.is_empty() {
            let _ = writeln!(text, "{head} – | – | – | – | – |");
        }
        text
    }
}

/// Writes the table of several faults.
#[must_use]
pub fn table(reports: &[Report]) -> String {
    let head =
        "| row | fault | tried | held | seed | measured | median | p99 | worst | goal (p99) |\n|--:|---|--:|--:|--:|---|--:|--:|--:|--:|\n";
    head.to_owned() + &reports.iter().map(Report::lines).collect::<String>()
}

//! Steps that take time, shown while they run: moving lines on a terminal, plain lines elsewhere, nothing when quiet.

mod transfer;

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use orchestrator_core::operation::{ProgressUnit, ProgressUpdate};
use owo_colors::OwoColorize as _;

use crate::output::{Output, format};

/// How far apart lines about a transfer are, where nothing can be redrawn.
const PLAIN_PACE: Duration = Duration::from_secs(5);

/// The line of a step that moves.
const STEP_TEMPLATE: &str = "{spinner:.cyan} {wide_msg}";

/// A line below it.
const ROW_TEMPLATE: &str = "{wide_msg}";

/// Shows steps, several at a time if need be.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    output: Output,
    bars: Option<MultiProgress>,
}

impl Steps {
    /// Shows steps as `output` allows.
    #[must_use]
    pub(crate) fn new(output: Output) -> Self {
        Self { output, bars: output.can_redraw().then(MultiProgress::new) }
    }

    /// Lets `write` write beside the moving lines.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Shows a step that showed itself while it ran.
    pub(crate) fn tick(output: Output, result: &str, elapsed: Duration) {
        output.note(&finished_line(&"✓".green().to_string(), result, elapsed));
    }

    /// Begins a step and names it.
    #[must_use]
    pub(crate) fn begin(&self, title: impl Into<String>) -> Step {
        let title = title.into();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style(STEP_TEMPLATE));
            bar.set_message(title.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            self.output.note(&format!("  {title} …"));
        }
        Step { steps: self.clone(), bar, rows: Vec::new(), title, began: Instant::now(), detail: String::new(), told: None }
    }
}

/// The templates are ours and a test draws them, so the fallback is never seen.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A step under way. One that is dropped unfinished leaves no line behind.
#[derive(Debug)]
pub(crate) struct Step {
    steps: Steps,
    bar: Option<ProgressBar>,
    /// The lines below it, where a transfer is shown.
    rows: Vec<ProgressBar>,
    title: String,
    began: Instant,
    detail: String,
    /// When a line about a transfer was last written.
    told: Option<Instant>,
}

impl Step {
    /// Says what it is busy with. `fraction` only redraws; where nothing can be redrawn a line is written when
    /// `detail` changes.
    pub(crate) fn update(&mut self, detail: &str, fraction: Option<String>) {
        if let Some(bar) = &self.bar {
            let fraction = fraction.map(|text| format!(" {text}")).unwrap_or_default();
            bar.set_message(format!("{}  {}", self.title, format!("{}{fraction}", format::printable(detail)).dimmed()));
        } else if detail != self.detail {
            self.steps.output.note(&format!("    {}", format::printable(detail)));
        }
        detail.clone_into(&mut self.detail);
    }

    /// Shows how far the operation behind it is: bars for a transfer, a phase for anything else.
    pub(crate) fn show(&mut self, update: &ProgressUpdate) {
        if update.unit != ProgressUnit::Bytes || update.done.is_none() {
            self.draw(&[]);
            self.update(&update.phase, fraction(update.done, update.total));
        } else if let Some(bar) = &self.bar {
            bar.set_message(format!("{}  {}", self.title, format::printable(&update.phase).dimmed()));
            self.draw(&transfer::rows(update, self.steps.output.redraw_width()));
        } else if self.detail != update.phase || self.told.is_none_or(|told| told.elapsed() >= PLAIN_PACE) {
            self.steps.output.note(&format!("    {}", transfer::sentence(update)));
            self.detail.clone_from(&update.phase);
            self.told = Some(Instant::now());
        }
    }

    /// Draws the lines below it, in place of those that are there.
    fn draw(&mut self, lines: &[String]) {
        let (Some(bars), Some(bar)) = (&self.steps.bars, &self.bar) else { return };
        while self.rows.len() > lines.len() {
            self.rows.pop().inspect(ProgressBar::finish_and_clear);
        }
        while self.rows.len() < lines.len() {
            let row = bars.insert_after(self.rows.last().unwrap_or(bar), ProgressBar::new_spinner());
            row.set_style(style(ROW_TEMPLATE));
            self.rows.push(row);
        }
        for (row, line) in self.rows.iter().zip(lines) {
            row.set_message(line.clone());
        }
    }

    /// Ends it well, with a tick, what came of it, and its time.
    pub(crate) fn succeed(self, result: &str) {
        self.finish(&"✓".green().to_string(), result);
    }

    /// Ends it badly, with a cross and its time. The error itself is shown elsewhere.
    pub(crate) fn fail(self, result: &str) {
        self.finish(&"✗".red().to_string(), result);
    }

    fn finish(mut self, mark: &str, result: &str) {
        let line = finished_line(mark, result, self.began.elapsed());
        self.draw(&[]);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.steps.aside(|| self.steps.output.note(&line));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.draw(&[]);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn finished_line(mark: &str, result: &str, elapsed: Duration) -> String {
    format!("{mark} {}  {}", format::printable(result), format::elapsed(elapsed).dimmed())
}

/// Writes how much of a job is done: `42 %`, or `3.1 MB` when the whole is not known.
#[must_use]
pub(crate) fn fraction(done: Option<u64>, total: Option<u64>) -> Option<String> {
    match (done, total) {
        (Some(done), Some(total)) if total > 0 => Some(format!("{} %", (u128::from(done) * 100 / u128::from(total)).min(100))),
        (Some(done), _) => Some(done.to_string()),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_of_the_moving_lines_are_valid() {
        for template in [STEP_TEMPLATE, ROW_TEMPLATE] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn a_part_of_a_known_whole_is_a_percentage() {
        assert_eq!(fraction(Some(1), Some(3)).as_deref(), Some("33 %"));
        assert_eq!(fraction(Some(9), Some(3)).as_deref(), Some("100 %"));
        assert_eq!(fraction(Some(u64::MAX), Some(u64::MAX)).as_deref(), Some("100 %"));
        assert_eq!(fraction(Some(7), None).as_deref(), Some("7"));
        assert_eq!(fraction(None, Some(3)), None);
    }
}

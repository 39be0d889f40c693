//! What was checked, and what was found: the common ground of `config validate` and `config lint`.

use std::path::PathBuf;

use orchestrator_core::Problem;
use orchestrator_core::config::lint::{LintFinding, Severity};
use orchestrator_core::config::{ConfigError, ConfigFault, InstanceCatalog, load_daemon_config};
use orchestrator_core::{InstanceName, Paths};
use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use crate::context::Context;
use crate::error::CommandError;
use crate::output::table::{self, Cell, Column};

/// Everything that was checked, and what was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ConfigReport {
    /// Whether everything can be used.
    pub(crate) valid: bool,
    /// The files, in the order they were read.
    pub(crate) checked: Vec<CheckedFile>,
    /// What cannot be used, and why.
    pub(crate) problems: Vec<FileProblem>,
    /// What can be used and is probably not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) findings: Option<Vec<LintFinding>>,
}

/// A file that was read.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedFile {
    /// The file.
    pub(crate) file: PathBuf,
    /// The instance it is for; none for the daemon's own.
    pub(crate) instance: Option<InstanceName>,
    /// Whether it can be used.
    pub(crate) valid: bool,
}

/// Why something cannot be used.
#[derive(Debug, Serialize)]
pub(crate) struct FileProblem {
    /// The files and folders it is about.
    pub(crate) files: Vec<PathBuf>,
    /// Each fault with its place.
    pub(crate) faults: Vec<ConfigFault>,
    /// The same as every other error is told.
    pub(crate) problem: Problem,
}

impl ConfigReport {
    /// Checks the configurations of a home; returns the catalog too.
    #[must_use]
    pub(crate) fn of_home(paths: &Paths) -> (Self, InstanceCatalog) {
        let mut report = Self::default();
        let file = paths.config_file();
        let daemon = load_daemon_config(&file);
        if file.exists() || daemon.is_err() {
            report.checked.push(CheckedFile { file, instance: None, valid: daemon.is_ok() });
        }
        let catalog = InstanceCatalog::scan(&paths.instances_dir());
        for entry in &catalog.entries {
            report.checked.push(CheckedFile { file: entry.file.clone(), instance: Some(entry.name.clone()), valid: entry.spec.is_ok() });
        }
        report.problems = daemon.err().iter().chain(catalog.errors()).map(FileProblem::new).collect();
        report.valid = report.problems.is_empty();
        (report, catalog)
    }

    /// Shows the report; what cannot be used makes the command fail.
    pub(crate) fn show(self, context: &Context) -> Result<(), CommandError> {
        let first = self.problems.first().map(|found| found.problem.code);
        if context.output.is_json() {
            context.output.json(&self)?;
            return first.map_or(Ok(()), |code| Err(CommandError::Reported(code)));
        }
        if self.checked.is_empty() && self.problems.is_empty() {
            context.output.note("There is no configuration yet. `orch init NAME --model FILE` writes one.");
        }
        if !self.checked.is_empty() {
            context.output.text(&render(&self.checked, context.output.width()))?;
        }
        for finding in self.findings.iter().flatten() {
            context.output.text(&render_finding(finding))?;
        }
        CommandError::from_all(self.problems.into_iter().map(|found| found.problem).collect())
    }
}

impl FileProblem {
    /// Tells what an error is about.
    #[must_use]
    pub(crate) fn new(error: &ConfigError) -> Self {
        Self { files: error.files(), faults: error.faults().to_vec(), problem: Problem::from_error(error) }
    }
}

/// Writes what is probably not meant.
fn render_finding(finding: &LintFinding) -> String {
    let place = finding.at.map(|at| format!(":{at}")).unwrap_or_default();
    let word = match finding.severity {
        Severity::Warning => "warning:".yellow().bold().to_string(),
        Severity::Advice => "advice:".cyan().bold().to_string(),
    };
    let LintFinding { file, key, message, hint, .. } = finding;
    format!("\n{word} {}{place}: `{key}`: {message}\n\n{} {hint}\n", file.display(), "hint:".cyan().bold())
}

fn render(checked: &[CheckedFile], width: Option<usize>) -> String {
    let columns = [Column::words("CONFIGURATION", 0), Column::words("RESULT", 0), Column::words("FILE", 1)];
    let rows: Vec<Vec<Cell>> = checked
        .iter()
        .map(|checked| {
            let (word, style) = if checked.valid { ("valid", Style::new().green()) } else { ("not usable", Style::new().red()) };
            vec![
                Cell::new(checked.instance.as_ref().map_or("(daemon)", InstanceName::as_str)),
                Cell::new(word).styled(style),
                Cell::new(checked.file.display().to_string()),
            ]
        })
        .collect();
    table::render(&columns, &rows, width)
}

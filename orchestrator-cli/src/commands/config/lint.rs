//! `orch config lint`: what is allowed and probably not meant.

use orchestrator_core::config::lint::{lint_daemon, lint_instance};
use orchestrator_core::config::load::Naming;

use super::report::ConfigReport;
use crate::context::Context;
use crate::error::CommandError;

/// Checks everything in the home, and tells what stands out. That alone is no failure.
pub(crate) fn run(context: &Context) -> Result<(), CommandError> {
    let paths = context.paths()?;
    let (mut report, catalog) = ConfigReport::of_home(paths);
    // What cannot be used at all stands in the report already.
    let mut findings = lint_daemon(&paths.config_file()).unwrap_or_default();
    for entry in &catalog.entries {
        findings.extend(lint_instance(&entry.file, Naming::Folder(&entry.name)).unwrap_or_default());
    }
    if findings.is_empty() && report.valid && !report.checked.is_empty() {
        context.output.note("Nothing stands out.");
    }
    report.findings = Some(findings);
    report.show(context)
}

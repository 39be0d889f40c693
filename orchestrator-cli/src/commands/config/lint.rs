//! `orch config lint`: what is allowed and probably not meant.

use orchestrator_core::config::lint;

use super::report::{Advice, ConfigReport};
use crate::context::Context;
use crate::error::CommandError;

/// Checks everything in the home, and gives advice. Advice alone is no failure.
pub fn run(context: &Context) -> Result<(), CommandError> {
    let (mut report, catalog) = ConfigReport::of_home(context.paths()?);
    let advice: Vec<Advice> = catalog
        .specs()
        .flat_map(|spec| lint::lint_instance(spec).into_iter().map(|finding| Advice { instance: spec.name.clone(), finding }))
        .collect();
    if advice.is_empty() && report.valid && !report.checked.is_empty() {
        context.output.note("Nothing stands out.");
    }
    report.advice = Some(advice);
    report.show(context)
}

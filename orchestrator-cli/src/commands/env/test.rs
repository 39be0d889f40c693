//! `orch env test`: whether an installed environment works.

use orchestrator_core::{ErrorCode, Problem};
use owo_colors::OwoColorize as _;

use crate::args::env::KeyArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::format;

/// Tests the environment.
pub(crate) async fn run(context: &Context, arguments: &KeyArguments) -> Result<(), CommandError> {
    let key = &arguments.key;
    let report = context.client().await?.test_environment(key).await?;
    if context.output.is_json() {
        context.output.json(&report)?;
    } else {
        for check in &report.checks {
            let mark = if check.passed { "✓".green().to_string() } else { "✗".red().to_string() };
            context.output.line(&format!("{mark} {}  {}", format::printable(&check.name), format::printable(&check.detail).dimmed()))?;
        }
    }
    if report.passed() {
        return Ok(());
    }
    let problem = Problem::new(ErrorCode::EnvUnhealthy, format!("the environment `{key}` does not work"));
    Err(problem.with_hint(format!("build it anew: `orch env rm {key}`, then `orch env create {key}`")).into())
}

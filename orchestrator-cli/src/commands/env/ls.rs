//! `orch env ls`: the environments there are recipes for, and what is installed of them.

use orchestrator_core::env::EnvironmentStatus;
use owo_colors::{OwoColorize as _, Style};

use crate::context::Context;
use crate::error::CommandError;
use crate::output::format;
use crate::output::table::{self, Cell, Column};

/// Lists the environments.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    let environments = context.client().await?.environments().await?;
    if context.output.is_json() {
        return context.output.json(&environments);
    }
    context.output.text(&render(&environments, context.output.width()))?;
    for status in &environments {
        if let Some(problem) = &status.problem {
            context.output.line(&format!("\n{} {}", status.key.bold(), format::printable(&problem.to_string())))?;
            if let Some(hint) = &problem.hint {
                context.output.line(&format!("{} {}", "hint:".cyan(), format::printable(hint)))?;
            }
        }
    }
    Ok(())
}

fn render(environments: &[EnvironmentStatus], width: Option<usize>) -> String {
    let columns = [
        Column::words("KEY", 0),
        Column::words("STATE", 0),
        Column::words("ENGINE", 1),
        Column::numbers("SIZE", 2),
        Column::words("FOR", 3),
    ];
    let rows: Vec<Vec<Cell>> = environments
        .iter()
        .map(|status| {
            let (state, style) = match (&status.installed, &status.problem, status.outdated) {
                (_, Some(_), _) => ("broken", Style::new().red()),
                (None, None, _) => ("not installed", Style::new().dimmed()),
                (Some(_), None, true) => ("outdated", Style::new().yellow()),
                (Some(_), None, false) => ("installed", Style::new().green()),
            };
            vec![
                Cell::new(status.key.as_str()),
                Cell::new(state).styled(style),
                Cell::optional(status.installed.as_ref().map(|environment| environment.engine_version.as_str())),
                Cell::optional(status.installed.as_ref().map(|environment| format::bytes(environment.size_bytes))),
                Cell::new(status.description.as_str()),
            ]
        })
        .collect();
    table::render(&columns, &rows, width)
}

//! `orch env ls`: the environments there are recipes for, and what is installed of them.

use orchestrator_core::env::EnvironmentStatus;
use owo_colors::Style;

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
    context.output.text(&render(&environments, context.output.width()))
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
            let (state, style) = match (&status.installed, status.outdated) {
                (None, _) => ("not installed", Style::new().dimmed()),
                (Some(_), true) => ("outdated", Style::new().yellow()),
                (Some(_), false) => ("installed", Style::new().green()),
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

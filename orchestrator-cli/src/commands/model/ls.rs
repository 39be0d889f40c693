//! `orch model ls`: the models on this machine.

use orchestrator_core::model::InstalledModel;

use crate::context::Context;
use crate::error::CommandError;
use crate::output::format;
use crate::output::table::{self, Cell, Column};

/// Lists the models.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    let models = context.client().await?.models().await?;
    if context.output.is_json() {
        return context.output.json(&models);
    }
    if models.is_empty() {
        context.output.note("There is no model yet. Name one in an instance: `orch init NAME --model FILE`");
        return Ok(());
    }
    context.output.text(&render(&models, context.output.width()))
}

fn render(models: &[InstalledModel], width: Option<usize>) -> String {
    let columns = [
        Column::words("MODEL", 0),
        Column::words("ARCHITECTURE", 4),
        Column::words("QUANT", 1),
        Column::numbers("PARAMETERS", 3),
        Column::numbers("CONTEXT", 5),
        Column::numbers("SIZE", 2),
        Column::words("REFERENCE", 6),
    ];
    let rows: Vec<Vec<Cell>> = models
        .iter()
        .map(|model| {
            vec![
                Cell::new(model.reference.short_name()),
                Cell::new(model.architecture.as_str()),
                Cell::optional(model.quantisation.as_deref()),
                Cell::new(format::count(model.parameters)),
                Cell::optional(model.context_length),
                Cell::new(format::bytes(model.size_bytes)),
                Cell::new(model.reference.to_string()),
            ]
        })
        .collect();
    table::render(&columns, &rows, width)
}

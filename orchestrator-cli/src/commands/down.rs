//! `orch down`: stops instances, and returns when nothing of them is left.

use owo_colors::OwoColorize as _;

use super::selection;
use crate::args::instance::DownArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::progress::Steps;

/// Stops the instances.
pub(crate) async fn run(context: &Context, arguments: &DownArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let is_up = |state: &str| !matches!(state, "stopped" | "failed");
    let selected = selection::resolve(&client, &arguments.selection, |instance| is_up(&instance.state)).await?;
    if selected.names.is_empty() {
        context.output.note("Nothing is running.");
    }
    let steps = Steps::new(context.output);
    let (stopped, problems) = selection::for_each(&selected.names, async |name| {
        let step = steps.begin(format!("stopping {name}"));
        let summary = client.down(&name).await?;
        drop(step);
        if !context.output.is_json() {
            let _ = steps.aside(|| context.output.line(&format!("{} {} is stopped", "✓".green(), name.bold())));
        }
        Ok(summary)
    })
    .await;
    if context.output.is_json() {
        context.output.json(&stopped)?;
    }
    CommandError::from_all(problems)
}

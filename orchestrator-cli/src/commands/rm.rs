//! `orch rm`: forgets instances. Their configurations are put aside, not deleted.

use owo_colors::OwoColorize as _;

use super::selection;
use crate::args::instance::RmArguments;
use crate::context::Context;
use crate::error::CommandError;

/// Forgets the instances.
pub(crate) async fn run(context: &Context, arguments: &RmArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let names = selection::each_once(&arguments.names);
    let (removed, problems) = selection::for_each(&names, async |name| {
        if arguments.force {
            client.stop_and_remove(&name).await?;
        } else {
            client.remove(&name).await?;
        }
        if !context.output.is_json() {
            let _ =
                context.output.line(&format!("{} {} is forgotten; its configuration is in `instances/.removed`", "✓".green(), name.bold()));
        }
        Ok(name)
    })
    .await;
    if context.output.is_json() {
        context.output.json(&removed)?;
    }
    CommandError::from_all(problems)
}

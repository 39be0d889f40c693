//! `orch restart`: stops instances and starts them again with their present configuration.

use orchestrator_core::InstanceName;

use super::{selection, up};
use crate::args::instance::RestartArguments;
use crate::context::Context;
use crate::error::CommandError;

/// Restarts the instances.
pub(crate) async fn run(context: &Context, arguments: &RestartArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let selected = selection::resolve(&client, &arguments.selection, |_| true).await?;
    if selected.names.is_empty() && selected.problems.is_empty() {
        context.output.note("There is no instance to restart. Make one: `orch init NAME --model FILE`");
    }
    up::start_all(
        context,
        selected,
        arguments.no_wait,
        async |name: &InstanceName, wait| {
            if wait { client.restart_and_wait(name).await } else { client.restart(name).await }
        },
    )
    .await
}

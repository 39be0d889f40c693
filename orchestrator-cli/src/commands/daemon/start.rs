//! `orch daemon start`: the daemon in the background.

use super::status;
use crate::context::Context;
use crate::error::CommandError;

/// Starts the daemon unless it runs, and tells where it is.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    context.home()?;
    let started = context.started_client().await?;
    let answer = started.client.status().await?;
    if !started.by_us {
        context.output.note("The daemon is running already.");
    }
    status::show(context.output, &answer)
}

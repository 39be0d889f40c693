//! `orch daemon restart`: another daemon in the place of the one that runs, without a gap.

use super::status;
use crate::context::Context;
use crate::daemon_process;
use crate::error::CommandError;
use crate::progress::Steps;

/// Replaces the daemon by this program, or starts one where there is none, and tells where it is.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    let home = context.home()?;
    let before = context.passive_client().status().await.ok();
    let step = Steps::new(context.output).begin("replacing the daemon");
    let started = daemon_process::replace(home, context.globals.verbose).await?;
    drop(step);
    let answer = started.client.status().await?;
    match before {
        Some(before) => context.output.note(&format!(
            "Process {} took the place of process {} (version {}), which ends with the last request that had begun with it.",
            answer.pid, before.pid, before.version
        )),
        None => context.output.note("No daemon was running; one was started."),
    }
    status::show(context.output, &answer)
}

//! `orch daemon status`: whether the daemon runs, and where.

use orchestrator_server::api::DaemonStatus;
use owo_colors::OwoColorize as _;

use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Output, format};

/// Tells how the daemon does; fails with 60 when there is none.
pub(crate) async fn run(context: &Context) -> Result<(), CommandError> {
    let status = context.passive_client().status().await?;
    show(context.output, &status)
}

/// Shows the daemon's account of itself.
pub(crate) fn show(output: Output, status: &DaemonStatus) -> Result<(), CommandError> {
    if output.is_json() {
        return output.json(status);
    }
    let counts = status.instances;
    output.text(&format!(
        "{}\n  endpoint   {}\n  pid        {}\n  version    {}\n  uptime     {}\n  home       {}\n  log        {}\n  instances  {} ready, {} running, {} configured\n",
        "The daemon is running.".green(),
        status.endpoint.bold(),
        status.pid,
        status.version,
        format::uptime(status.uptime_seconds),
        format::printable(&status.home),
        format::printable(&status.log),
        counts.ready,
        counts.running,
        counts.configured,
    ))?;
    for earlier in &status.draining {
        let requests: usize = earlier.requests.values().sum();
        output.note(&format!(
            "Process {} (version {}), which this one replaced, still holds {} connections with {requests} requests.",
            earlier.pid,
            format::printable(&earlier.version),
            earlier.connections,
        ));
    }
    Ok(())
}

//! `orch daemon status`: whether the daemon runs, and where.

use orchestrator_server::api::{DaemonStatus, RuntimeSummary};
use owo_colors::OwoColorize as _;

use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Output, format, state};

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
        "{}\n  endpoint   {}\n  pid        {}\n  version    {}\n  uptime     {}\n  home       {}\n  log        {}\n  instances  {} ready, {} running, {} configured\n{}",
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
        runtime_lines(&status.runtimes),
    ))?;
    output.warnings(&status.warnings);
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

/// One line for each kind of engine that has instances.
fn runtime_lines(runtimes: &[RuntimeSummary]) -> String {
    let used = runtimes.iter().filter(|summary| summary.instances > 0);
    used.map(|summary| {
        let status = summary.status.as_str().style(state::runtime_style(summary.status)).to_string();
        format!("  {:<10} {status}\n", summary.runtime.as_str())
    })
    .collect()
}

//! `orch daemon stop`: ends the daemon, with or without the servers it runs.

use std::time::{Duration, Instant};

use orchestrator_core::{ErrorCode, Problem};
use orchestrator_server::api::ShutdownRequest;
use orchestrator_server::{Client, ClientError};
use rustix::process::{Pid, test_kill_process};

use crate::args::daemon::StopArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::progress::Steps;

/// How long the daemon may take to end when it stops no servers.
const ENDING: Duration = Duration::from_secs(30);
/// How long it may take when it stops servers, with their grace periods.
const STOPPING: Duration = Duration::from_mins(10);
/// How often is looked whether it is gone.
const POLL: Duration = Duration::from_millis(20);

/// Stops the daemon and waits until it is gone.
pub(crate) async fn run(context: &Context, arguments: &StopArguments) -> Result<(), CommandError> {
    let client = if arguments.all {
        // Servers may run on without a daemon: only a daemon finds and stops them.
        context.client().await?
    } else {
        context.passive_client()
    };
    let running = match client.status().await {
        Ok(status) => status.instances.running,
        Err(ClientError::Unreachable { .. }) => {
            context.output.note("The daemon is not running.");
            return show(context, false, 0);
        }
        Err(error) => return Err(error.into()),
    };
    let step =
        Steps::new(context.output).begin(if arguments.all { "stopping the instances and the daemon" } else { "stopping the daemon" });
    stop_and_wait(&client, arguments.all).await?;
    drop(step);
    show(context, true, if arguments.all { 0 } else { running })
}

/// Asks the daemon to end and waits until it is gone.
pub(crate) async fn stop_and_wait(client: &Client, stop_instances: bool) -> Result<(), CommandError> {
    let pid = client.status().await?.pid;
    client.shutdown(ShutdownRequest { stop_instances }).await?;
    let limit = if stop_instances { STOPPING } else { ENDING };
    let deadline = Instant::now() + limit;
    loop {
        match client.status().await {
            // Another daemon may have been started in its place by now.
            Ok(status) if status.pid == pid => {}
            Ok(_) => return Ok(()),
            Err(_) if is_gone(client, pid) => return Ok(()),
            Err(_) => {}
        }
        if Instant::now() > deadline {
            let problem = Problem::new(ErrorCode::DaemonUnreachable, format!("the daemon (process {pid}) is still there"));
            return Err(problem
                .with_cause(format!("it was asked to stop {} s ago", limit.as_secs()))
                .with_hint("its log tells what it waits for: `orch doctor` shows where it lies")
                .into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Returns whether the daemon's process is gone; a daemon elsewhere is gone when it does not answer.
fn is_gone(client: &Client, pid: u32) -> bool {
    let is_elsewhere = client.target().starts_with("http://");
    is_elsewhere || !is_alive(pid)
}

/// Returns whether a process runs. One that has ended and whose status nobody took does not: it may be our own
/// child, or that of a container's first process which takes no statuses.
fn is_alive(pid: u32) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    if test_kill_process(process).is_err() {
        return false;
    }
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !has_ended(&stat),
        Err(_) => true,
    }
}

/// Reads the state of `/proc/PID/stat`, which stands behind the name in parentheses.
fn has_ended(stat: &str) -> bool {
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

fn show(context: &Context, stopped: bool, still_running: usize) -> Result<(), CommandError> {
    if context.output.is_json() {
        return context.output.json(&serde_json::json!({ "stopped": stopped, "instances_running": still_running }));
    }
    if stopped {
        context.output.line("The daemon is stopped.")?;
    }
    if still_running > 0 {
        context.output.note(&format!(
            "{still_running} {} running; the next daemon takes over. `orch daemon stop --all` stops everything.",
            if still_running == 1 { "server goes on" } else { "servers go on" },
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_process_that_has_ended_is_not_alive_although_nobody_took_its_status() {
        assert!(is_alive(std::process::id()));
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(child.id()) {
            assert!(Instant::now() < deadline, "`true` does not end");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        for (stat, expected) in [("7 (a) Z) S 1", false), ("7 (orch) Z 1", true), ("7 (orch) R 1", false), ("", false)] {
            assert_eq!(has_ended(stat), expected, "{stat}");
        }
    }
}

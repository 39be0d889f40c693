//! `orch up`: fetches models that are missing, starts instances at the same time, shows how they come along, and waits
//! until they are ready.

use std::future::Future;
use std::time::{Duration, Instant};

use orchestrator_core::error::Coded as _;
use orchestrator_core::instance::InstanceSummary;
use orchestrator_core::{ErrorCode, InstanceName};
use orchestrator_server::{Client, ClientError};
use owo_colors::OwoColorize as _;

use super::selection::{self, Selected};
use crate::args::instance::{Selection, UpArguments};
use crate::context::Context;
use crate::error::CommandError;
use crate::fetch;
use crate::interrupt::unless_interrupted;
use crate::output::{format, state};
use crate::progress::{Step, Steps};

/// How often a starting instance is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Starts the instances.
pub(crate) async fn run(context: &Context, arguments: &UpArguments) -> Result<(), CommandError> {
    let note = Some(interruption_note(&arguments.selection));
    let (client, selected) = unless_interrupted(None, select(context, arguments)).await?;
    if !arguments.no_wait {
        for name in &selected.names {
            fetch::ensure_for_instance(context, &client, name).await?;
        }
    }
    unless_interrupted(note, Box::pin(start(context, client, selected, arguments.no_wait))).await
}

async fn select(context: &Context, arguments: &UpArguments) -> Result<(Client, Selected), CommandError> {
    let client = context.client().await?;
    let selected = selection::resolve(&client, &arguments.selection, |_| true).await?;
    Ok((client, selected))
}

async fn start(context: &Context, client: Client, selected: Selected, no_wait: bool) -> Result<(), CommandError> {
    if selected.names.is_empty() && selected.problems.is_empty() {
        context.output.note("There is no instance to start. Make one: `orch init NAME --model FILE`");
    }
    start_all(
        context,
        selected,
        no_wait,
        async |name: &InstanceName, wait| {
            if wait { client.up_and_wait(name).await } else { client.up(name).await }
        },
    )
    .await
}

/// Starts instances by `start`, which gets each name and whether to wait, and shows what comes of it.
pub(crate) async fn start_all(
    context: &Context,
    selected: Selected,
    no_wait: bool,
    start: impl AsyncFn(&InstanceName, bool) -> Result<InstanceSummary, ClientError>,
) -> Result<(), CommandError> {
    let client = context.passive_client();
    let steps = Steps::new(context.output);
    let Selected { names, mut problems } = selected;
    let (started, failures) = selection::for_each(&names, async |name| {
        if no_wait {
            let summary = start(&name, false).await?;
            let _ = say(context, &steps, &format!("{} is starting", name.bold()));
            return Ok(summary);
        }
        let mut step = steps.begin(format!("starting {name}"));
        let began = Instant::now();
        match watched(&client, &name, &mut step, Box::pin(start(&name, true))).await {
            Ok(summary) => {
                drop(step);
                let _ = say(context, &steps, &ready_line(&summary, began.elapsed()));
                Ok(summary)
            }
            Err(error) => {
                let state = client.describe(&name).await.ok().map(|description| description.summary.state);
                step.fail(&failure_line(&name, error.code(), state.as_deref()));
                Err(error)
            }
        }
    })
    .await;
    problems.extend(failures);
    if context.output.is_json() {
        context.output.json(&started)?;
    }
    CommandError::from_all(problems)
}

fn say(context: &Context, steps: &Steps, text: &str) -> Result<(), CommandError> {
    if context.output.is_json() { Ok(()) } else { steps.aside(|| context.output.line(text)) }
}

fn ready_line(summary: &InstanceSummary, elapsed: Duration) -> String {
    let port = summary.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    // A server that has run for longer than we waited was there before.
    let was_there = summary.uptime_seconds.is_some_and(|uptime| uptime > elapsed.as_secs() + 1);
    let when = if was_there { " already".to_owned() } else { format!(" after {}", format::elapsed(elapsed)) };
    format!("{} {} is ready{port}{when}", "✓".green(), summary.name.bold())
}

/// Says what became of an instance that was not started without a fault.
fn failure_line(name: &InstanceName, code: ErrorCode, state: Option<&str>) -> String {
    let is_unrecorded = matches!(code, ErrorCode::DiskFull | ErrorCode::StoreFailed);
    match state {
        // It does as it was told, and only that could not be written down.
        Some(state @ ("starting" | "loading" | "ready")) if is_unrecorded => format!("{name} is {state}, and that is not written down"),
        _ => format!("{name} did not come up"),
    }
}

/// Waits for `work` and meanwhile shows the state of the instance.
pub(crate) async fn watched<T>(
    client: &Client,
    name: &InstanceName,
    step: &mut Step,
    mut work: impl Future<Output = Result<T, ClientError>> + Unpin,
) -> Result<T, ClientError> {
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep(LOOK) => {
                // A look that fails changes nothing: `work` itself tells what is wrong.
                if let Ok(description) = client.describe(name).await {
                    step.update(&format!("{}: {}", description.state.name(), state::reason(&description.state)), None);
                }
            }
        }
    }
}

/// Says what goes on although the waiting was ended.
#[must_use]
pub(crate) fn interruption_note(selection: &Selection) -> String {
    let names: Vec<&str> = selection.names.iter().map(InstanceName::as_str).collect();
    let which = if selection.all { "--all".to_owned() } else { names.join(" ") };
    format!("what was begun goes on in the daemon; `orch ps` shows it, `orch down {which}` ends it")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn an_instance_that_runs_and_is_not_written_down_is_not_said_to_be_down() {
        let name = InstanceName::try_new("a").unwrap();
        let cases = [
            (ErrorCode::DiskFull, Some("ready"), "a is ready, and that is not written down"),
            (ErrorCode::StoreFailed, Some("loading"), "a is loading, and that is not written down"),
            (ErrorCode::DiskFull, Some("backoff"), "a did not come up"),
            (ErrorCode::DiskFull, None, "a did not come up"),
            (ErrorCode::EngineNotFound, Some("starting"), "a did not come up"),
        ];
        for (code, state, expected) in cases {
            assert_eq!(failure_line(&name, code, state), expected);
        }
    }
}

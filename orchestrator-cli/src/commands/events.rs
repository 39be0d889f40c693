//! `orch events`: what happened.

use futures_util::StreamExt as _;
use orchestrator_core::event::{Event, EventKind};
use orchestrator_server::Client;
use owo_colors::OwoColorize as _;

use crate::args::instance::EventsArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Output, format};

/// How many events are asked for at once.
const PAGE: usize = 1_000;

/// Shows the last events, and new ones with `--follow`.
pub(crate) async fn run(context: &Context, arguments: &EventsArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let (events, last) = last_events(&client, arguments.tail).await?;
    for event in &events {
        show(context.output, event)?;
    }
    if arguments.follow {
        let mut following = client.follow_events(last).await?;
        while let Some(event) = following.next().await {
            show(context.output, &event?)?;
        }
    }
    Ok(())
}

/// Returns the last `count` events, and the number of the very last one.
async fn last_events(client: &Client, count: usize) -> Result<(Vec<Event>, u64), CommandError> {
    let newest = client.last_events(1).await?.last().map_or(0, |event| event.sequence);
    let mut last = newest.saturating_sub(count.try_into().unwrap_or(u64::MAX));
    let mut events = Vec::new();
    while last < newest {
        let page = client.events(last, PAGE).await?;
        let Some(end) = page.last() else { break };
        last = end.sequence;
        events.extend(page);
    }
    // Some may have come since the newest was asked for.
    let surplus = events.len().saturating_sub(count);
    events.drain(..surplus);
    Ok((events, last.max(newest)))
}

fn show(output: Output, event: &Event) -> Result<(), CommandError> {
    if output.is_json() { output.json_line(event) } else { output.line(&line(event)) }
}

/// Writes an event on one line. Its message names the instance it is about.
#[must_use]
pub(crate) fn line(event: &Event) -> String {
    let message = format::printable(&event.message);
    let message = if event.kind == EventKind::Warning { message.yellow().to_string() } else { message };
    format!("{}  {message}", event.at.to_string().dimmed())
}

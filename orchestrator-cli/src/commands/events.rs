//! `orch events`: what happened.

use std::collections::VecDeque;

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
async fn last_events(client: &Client, count: usize) -> Result<(VecDeque<Event>, u64), CommandError> {
    let mut events = VecDeque::new();
    let mut last = 0;
    loop {
        let page = client.events(last, PAGE).await?;
        let Some(newest) = page.last() else { return Ok((events, last)) };
        last = newest.sequence;
        events.extend(page);
        let surplus = events.len().saturating_sub(count);
        events.drain(..surplus);
    }
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

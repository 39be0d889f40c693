//! `orch model activate`: switches a runtime to another instance, and shows how far that is.

use crate::args::model::ActivateArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::follow::{self, OnSignal, Words};

/// Switches, and waits for the end of it.
pub(crate) async fn run(context: &Context, arguments: &ActivateArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let name = &arguments.instance;
    let begun = client.activate(name).await?;
    let words = Words { title: format!("switching to {name}"), done: format!("{name} is active"), failed: format!("{name} is not active") };
    let on_signal = OnSignal::GoesOn { note: format!("the switch to `{name}` goes on in the daemon; `orch events` shows it") };
    let operation = follow::run(context, &client, begun, &words, on_signal).await?;
    if context.output.is_json() { context.output.json(&operation) } else { Ok(()) }
}

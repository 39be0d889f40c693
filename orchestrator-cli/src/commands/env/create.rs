//! `orch env create`: builds an environment, shows how far it is, and cancels it with Ctrl-C.

use crate::args::env::KeyArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::follow::{self, OnSignal, Words};

/// Builds the environment unless it is there. When a signal comes the building is cancelled, and nothing half stays.
pub(crate) async fn run(context: &Context, arguments: &KeyArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let key = &arguments.key;
    let begun = client.create_environment(key).await?;
    let words = Words { title: format!("building {key}"), done: format!("{key} is ready"), failed: format!("{key} was not built") };
    let on_signal = OnSignal::Cancels {
        cancelled: format!("building `{key}` was cancelled; nothing of it stays"),
        goes_on: format!("building `{key}` could not be cancelled and goes on in the daemon; `orch env ls` shows it"),
    };
    let operation = follow::run(context, &client, begun, &words, on_signal).await?;
    if context.output.is_json() { context.output.json(&operation) } else { Ok(()) }
}

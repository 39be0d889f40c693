//! `orch model import`: registers a file or folder that lies on this machine.

use orchestrator_core::provider::ImportMode;

use crate::args::model::ImportArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::follow::{self, OnSignal, Words};
use crate::home;

/// Registers it, and waits for the end of that.
pub(crate) async fn run(context: &Context, arguments: &ImportArguments) -> Result<(), CommandError> {
    // The path means a file here; a daemon elsewhere has other files.
    context.home()?;
    let path = home::absolute(&arguments.path)?;
    let client = context.client().await?;
    let mode = if arguments.copy { ImportMode::Copy } else { ImportMode::InPlace };
    let begun = client.import_model(&path, mode).await?;
    let shown = path.display();
    let words = Words {
        title: format!("registering {shown}"),
        done: format!("{shown} is registered"),
        failed: format!("{shown} was not registered"),
    };
    let on_signal = OnSignal::Cancels {
        cancelled: format!("registering `{shown}` was cancelled"),
        goes_on: format!("registering `{shown}` could not be cancelled and goes on in the daemon; `orch model ls` shows it"),
    };
    let operation = follow::run(context, &client, begun, &words, on_signal).await?;
    if context.output.is_json() { context.output.json(&operation) } else { Ok(()) }
}

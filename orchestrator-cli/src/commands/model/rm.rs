//! `orch model rm`: removes a model from the daemon's machine.

use crate::args::model::RmArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::follow::{self, OnSignal, Words};
use crate::model_argument;

/// Removes the model, and waits for the end of it.
pub(crate) async fn run(context: &Context, arguments: &RmArguments) -> Result<(), CommandError> {
    let reference = model_argument::parse(&arguments.reference)?;
    let client = context.client().await?;
    let begun = client.remove_model(&reference, arguments.force).await?;
    let words = Words {
        title: format!("removing {reference}"),
        done: format!("{reference} is removed"),
        failed: format!("{reference} was not removed"),
    };
    let on_signal = OnSignal::GoesOn { note: format!("removing `{reference}` goes on in the daemon; `orch model ls` shows what is left") };
    let operation = follow::run(context, &client, begun, &words, on_signal).await?;
    if context.output.is_json() { context.output.json(&operation) } else { Ok(()) }
}

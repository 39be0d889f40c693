//! `orch model pull`: fetches a model, and shows how far it is.

use crate::args::model::PullArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::fetch::{self, Consent};
use crate::interrupt::unless_interrupted;
use crate::model_argument;

/// Fetches the model unless it is here.
pub(crate) async fn run(context: &Context, arguments: &PullArguments) -> Result<(), CommandError> {
    let reference = model_argument::parse(&arguments.reference)?;
    let client = context.client().await?;
    let consent = if arguments.yes { Consent::Given } else { Consent::Asked };
    let begun = unless_interrupted(None, fetch::begin(context, &client, &reference, consent)).await?;
    let operation = if arguments.no_wait {
        context.output.note(&format!("{reference} is being fetched; `orch model pull {reference}` shows how far it is."));
        begun
    } else {
        fetch::follow(context, &client, &reference, begun).await?
    };
    if context.output.is_json() { context.output.json(&operation) } else { Ok(()) }
}

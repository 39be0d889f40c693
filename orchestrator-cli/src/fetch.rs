//! Sees to it that a model is on the daemon's machine: asks for agreement where it is large, pulls it, shows how far
//! that is. Shared by `orch model pull` and by whatever needs a model that may be missing.

use orchestrator_core::model::{InstalledModel, ModelReference};
use orchestrator_core::operation::Operation;
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_server::{Client, ClientError};

use crate::context::Context;
use crate::error::CommandError;
use crate::follow::{self, OnSignal, Words};
use crate::interrupt::unless_interrupted;
use crate::output::format;

/// Whether somebody agreed to the size of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// They did, whatever it is.
    Given,
    /// They are asked where it is large, and where there is somebody to ask.
    Asked,
}

/// Begins to pull a model, or joins whoever pulls it already. Ctrl-C at the question ends it.
pub(crate) async fn begin(
    context: &Context,
    client: &Client,
    reference: &ModelReference,
    consent: Consent,
) -> Result<Operation, CommandError> {
    let refusal = match client.pull_model(reference, consent == Consent::Given, None).await {
        Ok(operation) => return Ok(operation),
        Err(ClientError::Problem(problem)) if problem.code == ErrorCode::ModelUnconfirmed => problem,
        Err(error) => return Err(error.into()),
    };
    if !context.output.can_ask() {
        return Err(refusal.with_hint(format!("`orch model pull {reference} --yes` agrees to its size")).into());
    }
    let size = client.plan_pull(reference).await?.missing_bytes();
    if !context.output.confirm(&format!("Fetch {} for {reference}?", format::bytes(size))).await {
        let problem = Problem::new(ErrorCode::Cancelled, format!("`{reference}` was not fetched"));
        return Err(problem.with_hint("nothing was changed").into());
    }
    Ok(client.pull_model(reference, true, None).await?)
}

/// Shows a pull until its end. Ctrl-C cancels it.
pub(crate) async fn follow(
    context: &Context,
    client: &Client,
    reference: &ModelReference,
    begun: Operation,
) -> Result<Operation, CommandError> {
    let words = Words {
        title: format!("pulling {reference}"),
        done: format!("{reference} is here"),
        failed: format!("{reference} was not fetched"),
    };
    let on_signal = OnSignal::Cancels {
        cancelled: format!("pulling `{reference}` was cancelled; the same command goes on where it ended"),
        goes_on: format!("pulling `{reference}` could not be cancelled; the daemon goes on with it, now or when it is back"),
    };
    follow::run(context, client, begun, &words, on_signal).await
}

/// Looks at a model; nothing, when it could be fetched.
pub(crate) async fn look(client: &Client, reference: &ModelReference) -> Result<Option<InstalledModel>, CommandError> {
    match client.model_info(reference).await {
        Ok(model) => Ok(Some(model)),
        Err(ClientError::Problem(problem)) if is_missing(&problem, reference) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns a model that is on the daemon's machine, after it was pulled where it was missing.
pub(crate) async fn ensure(
    context: &Context,
    client: &Client,
    reference: &ModelReference,
    consent: Consent,
) -> Result<InstalledModel, CommandError> {
    let begun = unless_interrupted(None, async {
        match look(client, reference).await? {
            Some(model) => Ok(Err(model)),
            None => begin(context, client, reference, consent).await.map(Ok),
        }
    })
    .await?;
    let begun = match begun {
        Ok(begun) => begun,
        Err(model) => return Ok(model),
    };
    follow(context, client, reference, begun).await?;
    // The daemon may be another one by now.
    Ok(context.client().await?.model_info(reference).await?)
}

/// Pulls the model of an instance where it is missing. An instance that cannot be described is left to whoever starts it.
pub(crate) async fn ensure_for_instance(context: &Context, client: &Client, name: &InstanceName) -> Result<(), CommandError> {
    let Ok(description) = unless_interrupted(None, async { Ok(client.describe(name).await) }).await? else { return Ok(()) };
    let reference = &description.spec.model.reference;
    if description.model_problem.is_some_and(|problem| is_missing(&problem, reference)) {
        ensure(context, client, reference, Consent::Asked).await?;
    }
    Ok(())
}

/// Returns whether a model is not on the machine, and comes from somewhere else.
fn is_missing(problem: &Problem, reference: &ModelReference) -> bool {
    problem.code == ErrorCode::ModelNotFound && reference.as_file().is_none()
}

//! `orch model activate`: switches a runtime to another instance, and shows how far that is.

use futures_util::StreamExt as _;
use orchestrator_core::operation::{Operation, OperationStatus};
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_server::Client;

use crate::args::model::ActivateArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::interrupt::tidying_up;
use crate::progress::{Step, Steps};

/// Switches, and waits for the end of it.
pub(crate) async fn run(context: &Context, arguments: &ActivateArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let name = &arguments.instance;
    let mut step = Steps::new(context.output).begin(format!("switching to {name}"));
    let begun = client.activate(name).await?;
    let followed = follow(&client, begun, &mut step);
    let outcome =
        tidying_up(followed, async || Some(format!("the switch to `{name}` goes on in the daemon; `orch events` shows it"))).await;
    match outcome {
        Ok(operation) => {
            step.succeed(&format!("{name} is active"));
            if context.output.is_json() { context.output.json(&operation) } else { Ok(()) }
        }
        Err(error) => {
            step.fail(&format!("{name} is not active"));
            Err(error)
        }
    }
}

async fn follow(client: &Client, begun: Operation, step: &mut Step) -> Result<Operation, CommandError> {
    let mut changes = client.follow_operation(begun.id).await?;
    let mut operation = begun;
    while !operation.status.is_final() {
        if let OperationStatus::Running { progress } = &operation.status {
            step.update(&progress.phase, None);
        }
        let Some(newer) = changes.next().await else {
            let problem = Problem::new(ErrorCode::DaemonUnreachable, "the daemon ended before the switch was done");
            return Err(problem.with_hint("run `orch ps` for what runs now").into());
        };
        operation = newer?;
    }
    match operation.status {
        OperationStatus::Failed { problem, .. } => Err(problem.into()),
        OperationStatus::Cancelled { .. } => Err(Problem::new(ErrorCode::Cancelled, "the switch was cancelled").into()),
        OperationStatus::Succeeded { .. } | OperationStatus::Running { .. } => Ok(operation),
    }
}

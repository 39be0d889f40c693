//! `orch env create`: builds an environment, shows how far it is, and cancels it with Ctrl-C.

use futures_util::StreamExt as _;
use orchestrator_core::operation::{Operation, OperationStatus};
use orchestrator_core::{EnvKey, ErrorCode, Problem};
use orchestrator_server::Client;

use crate::args::env::KeyArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::interrupt::tidying_up;
use crate::progress::{self, Step, Steps};

/// Builds the environment.
pub(crate) async fn run(context: &Context, arguments: &KeyArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let key = &arguments.key;
    let mut step = Steps::new(context.output).begin(format!("building {key}"));
    let operation = create(&client, key, &mut step).await;
    match operation {
        Ok(operation) => {
            step.succeed(&format!("{key} is ready"));
            if context.output.is_json() { context.output.json(&operation) } else { Ok(()) }
        }
        Err(error) => {
            step.fail(&format!("{key} was not built"));
            Err(error)
        }
    }
}

/// Builds an environment unless it is there. When a signal comes the building is cancelled, and nothing half stays.
async fn create(client: &Client, key: &EnvKey, step: &mut Step) -> Result<Operation, CommandError> {
    let begun = client.create_environment(key).await?;
    let id = begun.id;
    tidying_up(follow(client, begun, step), async || {
        let cancelled = client.cancel_operation(id).await.is_ok();
        Some(if cancelled {
            format!("building `{key}` was cancelled; nothing of it stays")
        } else {
            format!("building `{key}` could not be cancelled and goes on in the daemon; `orch env ls` shows it")
        })
    })
    .await
}

/// Shows how a building goes on, until its end.
pub(crate) async fn follow(client: &Client, begun: Operation, step: &mut Step) -> Result<Operation, CommandError> {
    let mut changes = client.follow_operation(begun.id).await?;
    let mut operation = begun;
    while !operation.status.is_final() {
        if let OperationStatus::Running { progress } = &operation.status {
            step.update(&progress.phase, progress::fraction(progress.done, progress.total));
        }
        match changes.next().await {
            Some(newer) => operation = newer?,
            None => {
                return Err(Problem::new(ErrorCode::DaemonUnreachable, "the daemon ended before the environment was built")
                    .with_hint("run the command again: nothing half stays")
                    .into());
            }
        }
    }
    match operation.status {
        OperationStatus::Failed { problem, .. } => Err(problem.into()),
        OperationStatus::Cancelled { .. } => Err(Problem::new(ErrorCode::Cancelled, "building the environment was cancelled").into()),
        OperationStatus::Succeeded { .. } | OperationStatus::Running { .. } => Ok(operation),
    }
}

//! Goes along with an operation of the daemon to its end: shows how far it is, finds it again when the connection or
//! the daemon is lost, and does with Ctrl-C what the command says. The only place that follows operations.

use std::time::Duration;

use futures_util::StreamExt as _;
use orchestrator_core::error::Coded as _;
use orchestrator_core::operation::{Operation, OperationStatus};
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_server::{Client, ClientError};

use crate::context::Context;
use crate::error::CommandError;
use crate::interrupt::tidying_up;
use crate::progress::{Step, Steps};

/// How often a lost operation is looked for before that is given up. Each look starts the daemon where there is none.
const TRIES: u32 = 8;
/// How long after a loss the first look comes; each later one waits twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a command says about its operation.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    /// While it runs, such as "pulling x".
    pub(crate) title: String,
    /// When it is done.
    pub(crate) done: String,
    /// When it is not.
    pub(crate) failed: String,
}

/// What Ctrl-C does to an operation.
#[derive(Debug, Clone)]
pub(crate) enum OnSignal {
    /// It is cancelled.
    Cancels {
        /// What is said then.
        cancelled: String,
        /// What is said when it could not be cancelled.
        goes_on: String,
    },
    /// It goes on.
    GoesOn {
        /// What is said.
        note: String,
    },
}

/// Shows an operation until its end, and fails as it does.
pub(crate) async fn run(
    context: &Context,
    client: &Client,
    begun: Operation,
    words: &Words,
    on_signal: OnSignal,
) -> Result<Operation, CommandError> {
    let mut step = Steps::new(context.output).begin(words.title.as_str());
    let id = begun.id;
    let outcome = tidying_up(to_the_end(context, client, begun, &mut step), async || {
        Some(match on_signal {
            OnSignal::GoesOn { note } => note,
            OnSignal::Cancels { cancelled, goes_on } => {
                // The daemon that is there now may be another one.
                if context.passive_client().cancel_operation(id).await.is_ok() { cancelled } else { goes_on }
            }
        })
    })
    .await;
    match &outcome {
        Ok(_) => step.succeed(&words.done),
        // Neither done nor failed: what is said about it stands in the note.
        Err(CommandError::Interrupted { .. }) => drop(step),
        Err(_) => step.fail(&words.failed),
    }
    outcome
}

/// Shows an operation in `step` until its end, and fails as it does. Dropping it leaves the operation alone.
pub(crate) async fn to_the_end(context: &Context, client: &Client, begun: Operation, step: &mut Step) -> Result<Operation, CommandError> {
    let mut operation = begun;
    let mut client = client.clone();
    let mut losses = 0;
    while !operation.status.is_final() {
        let loss = match watch(&client, &mut operation, step, &mut losses).await {
            Ok(()) => continue,
            Err(error) if is_loss(&error) => error,
            Err(error) => return Err(vanished(error, &operation).into()),
        };
        losses += 1;
        if losses > TRIES {
            return Err(lost(loss, &operation).into());
        }
        step.update("the daemon is gone; looking for it", None);
        tokio::time::sleep(pause(losses)).await;
        // A daemon that cannot be started or reached yet is looked for again.
        match context.client().await {
            Ok(found) => client = found,
            Err(error) if losses == TRIES => return Err(error),
            Err(_) => {}
        }
    }
    match operation.status {
        OperationStatus::Failed { problem, .. } => Err(problem.into()),
        OperationStatus::Cancelled { .. } => {
            let problem = Problem::new(ErrorCode::Cancelled, format!("{} was cancelled", operation.kind));
            Err(problem.with_hint("run the command again; what was finished is not done twice").into())
        }
        OperationStatus::Succeeded { .. } | OperationStatus::Running { .. } => Ok(operation),
    }
}

/// Takes the changes of an operation until its end, or until the stream of them breaks off.
async fn watch(client: &Client, operation: &mut Operation, step: &mut Step, losses: &mut u32) -> Result<(), ClientError> {
    let mut changes = client.follow_operation(operation.id).await?;
    while !operation.status.is_final() {
        if let OperationStatus::Running { progress } = &operation.status {
            step.show(progress);
        }
        let Some(newer) = changes.next().await else { return Err(broken_off(client)) };
        *operation = newer?;
        *losses = 0;
    }
    Ok(())
}

fn broken_off(client: &Client) -> ClientError {
    ClientError::Protocol { target: client.target(), status: None, detail: "it ended before the work was done".to_owned() }
}

/// Returns whether the daemon went away or goes, and not the operation.
fn is_loss(error: &ClientError) -> bool {
    matches!(error.code(), ErrorCode::DaemonUnreachable | ErrorCode::DaemonStopping)
}

fn pause(losses: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << losses.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

/// Describes an operation whose daemon did not come back.
fn lost(error: ClientError, operation: &Operation) -> Problem {
    let problem = Problem::new(ErrorCode::DaemonUnreachable, format!("the daemon was lost while {} was under way", operation.kind));
    let problem = problem.with_cause(error.into_problem().to_string());
    problem.with_hint("run the command again: it goes on with what is under way, and does nothing twice")
}

/// Describes an operation that the daemon no longer knows; any other refusal passes as it is.
fn vanished(error: ClientError, operation: &Operation) -> Problem {
    if error.code() != ErrorCode::RouteUnknown {
        return error.into_problem();
    }
    let problem = Problem::new(ErrorCode::Cancelled, format!("the daemon no longer knows of {}", operation.kind));
    problem.with_hint("run the command again; what was finished is not done twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_daemon_is_looked_for_soon_and_then_more_rarely() {
        let pauses: Vec<u64> = (1..=TRIES).map(|losses| u64::try_from(pause(losses).as_millis()).unwrap_or(u64::MAX)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}

//! Ctrl-C and the request to terminate, for commands that have to tidy up or to tell something.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::CommandError;
use crate::exit_code;

/// Waits for Ctrl-C (130) or SIGTERM (143) and returns the exit status that says so. Each call waits for a new one.
pub(crate) async fn signalled() -> u8 {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        // Without signal handlers the system's own way of ending the process stays in force.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => exit_code::INTERRUPTED,
        _ = terminate.recv() => exit_code::TERMINATED,
    }
}

/// Does `work` unless a signal comes first; then drops it and fails with `note`.
pub(crate) async fn unless_interrupted<T>(
    note: Option<String>,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    tokio::select! {
        result = work => result,
        status = signalled() => Err(CommandError::Interrupted { status, note }),
    }
}

/// Does `work`; when a signal comes first, drops it, does `tidy_up` and fails. A second signal ends the tidying.
pub(crate) async fn tidying_up<T>(
    work: impl Future<Output = Result<T, CommandError>>,
    tidy_up: impl AsyncFnOnce() -> Option<String>,
) -> Result<T, CommandError> {
    let status = tokio::select! {
        result = work => return result,
        status = signalled() => status,
    };
    let note = tokio::select! {
        note = tidy_up() => note,
        _ = signalled() => Some("tidying up was interrupted too; `orch ps` and `orch doctor` show what is left".to_owned()),
    };
    Err(CommandError::Interrupted { status, note })
}

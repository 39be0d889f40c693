//! How the process ends: the constants that no [`ErrorCode`] has, and the way from an error to a status.

use std::process::ExitCode;

use orchestrator_core::ErrorCode;

use crate::error::CommandError;

/// The command did what it was asked to.
pub(crate) const OK: u8 = 0;
/// The command line could not be understood.
pub(crate) const USAGE: u8 = ErrorCode::Usage.exit_code();
/// Ctrl-C ended the command.
pub(crate) const INTERRUPTED: u8 = 130;
/// The request to terminate (SIGTERM) ended the command.
pub(crate) const TERMINATED: u8 = 143;

/// Returns the status of a command that ended this way.
#[must_use]
pub(crate) fn status_of(result: &Result<(), CommandError>) -> u8 {
    match result {
        Ok(()) | Err(CommandError::OutputClosed) => OK,
        Err(CommandError::Problems(problems)) => problems.first().map_or(OK, |problem| problem.code.exit_code()),
        Err(CommandError::Reported(code)) => code.exit_code(),
        Err(CommandError::Interrupted { status, .. }) => *status,
    }
}

/// Returns the status as `main` returns it.
#[must_use]
pub(crate) fn exit_code_of(result: &Result<(), CommandError>) -> ExitCode {
    ExitCode::from(status_of(result))
}

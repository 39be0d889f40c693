//! Waiting for operations: progress handed to a function of Python, and cancelling by Ctrl-C or by what that raises.

use std::time::Duration;

use futures_util::StreamExt;
use orchestrator_core::Problem;
use orchestrator_core::operation::{Operation, OperationId, OperationStatus};
use pyo3::prelude::*;

use crate::backend::{Backend, outcome};
use crate::error::{raise, raise_error};
use crate::json::to_python;
use crate::runtime::{runtime, wait};

/// How long the cancelling of an operation may take after Ctrl-C.
const CANCELLING: Duration = Duration::from_secs(2);

/// What happens to an operation when the wait for it is interrupted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// It is cancelled.
    Cancels,
    /// It goes on.
    GoesOn,
}

/// Waits for the end of an operation and raises as it failed. `progress` is called with each change.
pub(crate) fn see_through(
    py: Python<'_>,
    backend: &Backend,
    begun: Operation,
    progress: Option<&Bound<'_, PyAny>>,
    interrupted: Interrupted,
) -> PyResult<Operation> {
    let id = begun.id;
    match watch(py, backend, begun, progress) {
        Ok(last) => last.and_then(outcome).map_err(|problem| raise(py, &problem)),
        Err(interrupt) => {
            if let (Interrupted::Cancels, Ok(runtime)) = (interrupted, runtime()) {
                // Whether it could be cancelled is of no interest beside the interrupt.
                let _ = py.detach(|| runtime.block_on(async { tokio::time::timeout(CANCELLING, backend.cancel(id)).await }));
            }
            Err(interrupt)
        }
    }
}

/// Fails where a signal or `progress` raised something; what became of the operation itself is the value.
fn watch(py: Python<'_>, backend: &Backend, begun: Operation, progress: Option<&Bound<'_, PyAny>>) -> PyResult<Result<Operation, Problem>> {
    let mut last = begun.clone();
    let mut changes = backend.follow_operation(begun);
    while let Some(change) = wait(py, changes.next())? {
        match change {
            Ok(operation) => last = operation,
            Err(problem) => return Ok(Err(problem)),
        }
        if let (Some(progress), OperationStatus::Running { progress: update }) = (progress, &last.status) {
            progress.call1((to_python(py, update)?,))?;
        }
    }
    Ok(Ok(last))
}

/// Reads the identity of an operation.
pub(crate) fn operation_id(py: Python<'_>, text: &str) -> PyResult<OperationId> {
    text.parse().map_err(|error| raise_error(py, &NoIdentity { source: error }))
}

/// A text that names no operation.
#[derive(Debug, thiserror::Error)]
#[error("this is no identity of an operation")]
struct NoIdentity {
    #[source]
    source: <OperationId as std::str::FromStr>::Err,
}

impl orchestrator_core::error::Coded for NoIdentity {
    fn code(&self) -> orchestrator_core::ErrorCode {
        orchestrator_core::ErrorCode::Usage
    }
}

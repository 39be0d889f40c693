//! How failures become exceptions: the one map from stable codes to the classes of `orchestrator.errors`.

use orchestrator_core::error::Coded;
use orchestrator_core::{ErrorCode, Problem};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// What an exception carries.
pub(crate) struct Details<'a> {
    pub(crate) class: &'static str,
    pub(crate) message: String,
    pub(crate) code: &'a str,
    pub(crate) exit_code: u8,
    pub(crate) hint: Option<&'a str>,
    pub(crate) causes: &'a [String],
    pub(crate) stderr_tail: &'a [String],
    pub(crate) retry_after_seconds: Option<u64>,
}

/// Makes the exception of a failure.
pub(crate) fn raise(py: Python<'_>, problem: &Problem) -> PyErr {
    let details = Details {
        class: class_of(problem.code),
        message: problem.title.clone(),
        code: problem.code.as_str(),
        exit_code: problem.code.exit_code(),
        hint: problem.hint.as_deref(),
        causes: &problem.causes,
        stderr_tail: &problem.stderr_tail,
        retry_after_seconds: problem.retry_after_seconds,
    };
    exception(py, &details)
}

/// Makes the exception of a typed error.
pub(crate) fn raise_error(py: Python<'_>, error: &dyn Coded) -> PyErr {
    raise(py, &Problem::from_error(error))
}

/// Makes an exception. Where that fails, the exception that says why.
pub(crate) fn exception(py: Python<'_>, details: &Details<'_>) -> PyErr {
    build(py, details).map_or_else(|error| error, PyErr::from_value)
}

fn build<'py>(py: Python<'py>, details: &Details<'_>) -> PyResult<Bound<'py, PyAny>> {
    let keywords = PyDict::new(py);
    keywords.set_item("code", details.code)?;
    keywords.set_item("exit_code", details.exit_code)?;
    keywords.set_item("hint", details.hint)?;
    keywords.set_item("causes", PyTuple::new(py, details.causes)?)?;
    keywords.set_item("stderr_tail", PyTuple::new(py, details.stderr_tail)?)?;
    keywords.set_item("retry_after_seconds", details.retry_after_seconds)?;
    // The classes are written in Python: a stable-ABI module cannot extend `Exception` before Python 3.12.
    py.import("orchestrator.errors")?.getattr(details.class)?.call((&details.message,), Some(&keywords))
}

/// The class of each code. A new code does not compile before it has one.
const fn class_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Internal => "InternalError",
        ErrorCode::Usage => "UsageError",
        ErrorCode::ConfigInvalid
        | ErrorCode::ConfigNotFound
        | ErrorCode::ConfigConflict
        | ErrorCode::ConfigUnreadable
        | ErrorCode::ConfigExists
        | ErrorCode::HomeUnusable => "ConfigError",
        ErrorCode::InstanceUnknown
        | ErrorCode::InstanceStartFailed
        | ErrorCode::InstanceStartTimeout
        | ErrorCode::InstanceStopFailed
        | ErrorCode::PortTaken
        | ErrorCode::EngineNotFound
        | ErrorCode::EngineUnusable
        | ErrorCode::InstanceNotRunning
        | ErrorCode::SettingUnsupported
        | ErrorCode::InstanceRunning
        | ErrorCode::InstanceUnavailable
        | ErrorCode::InstanceUnhealthy
        | ErrorCode::UpstreamFailed
        | ErrorCode::UpstreamTimeout
        | ErrorCode::InstanceBusy
        | ErrorCode::NoRoom
        | ErrorCode::RuntimeHeld
        | ErrorCode::CircuitOpen => "InstanceError",
        ErrorCode::ModelNotFound
        | ErrorCode::ModelUnreadable
        | ErrorCode::ModelInvalid
        | ErrorCode::ModelReferenceInvalid
        | ErrorCode::ProviderUnavailable
        | ErrorCode::ModelUnknown
        | ErrorCode::ModelAccessDenied
        | ErrorCode::ModelInUse
        | ErrorCode::ModelNoSpace
        | ErrorCode::ModelUnconfirmed
        | ErrorCode::ModelIncompatible => "ModelError",
        ErrorCode::EnvUnknown
        | ErrorCode::EnvBuildFailed
        | ErrorCode::EnvToolMissing
        | ErrorCode::EnvNetwork
        | ErrorCode::DiskFull
        | ErrorCode::EnvInUse
        | ErrorCode::EnvUnhealthy
        | ErrorCode::EnvNotInstalled => "EnvError",
        ErrorCode::Cancelled => "CancelledError",
        ErrorCode::DaemonBusy
        | ErrorCode::DaemonUnreachable
        | ErrorCode::HomeOwned
        | ErrorCode::StoreNewer
        | ErrorCode::StoreFailed
        | ErrorCode::DaemonStartFailed
        | ErrorCode::Forbidden
        | ErrorCode::RequestInvalid
        | ErrorCode::RequestTooLarge
        | ErrorCode::RouteUnknown
        | ErrorCode::DaemonStopping => "DaemonError",
        ErrorCode::AnswerInvalid | ErrorCode::ToolsInvalid | ErrorCode::InputInvalid => "ToolCallError",
    }
}

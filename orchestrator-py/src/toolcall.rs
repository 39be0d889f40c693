//! `orchestrator.toolcall`: the envelope in which a model calls tools or answers.

use orchestrator_toolcall::{Envelope, Limits, ParseError, Problem};
use pyo3::prelude::*;

use crate::error::{Details, exception};
use crate::json::to_python;

/// The first of the exit codes of tool calls.
const EXIT_CODE: u8 = orchestrator_core::ErrorCode::AnswerInvalid.exit_code();

/// Reads an envelope, strictly: JSON with no key given twice and nothing around it.
#[pyfunction]
pub(crate) fn parse_envelope<'py>(py: Python<'py>, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let envelope = match text.extract::<&[u8]>() {
        Ok(bytes) => read(bytes),
        Err(_) => read(text.extract::<String>()?.as_bytes()),
    };
    match envelope {
        Ok(envelope) => to_python(py, &envelope),
        Err(refusal) => Err(refusal.into_exception(py)),
    }
}

/// The JSON Schema (2020-12) of the envelope.
#[pyfunction]
pub(crate) fn envelope_schema(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    to_python(py, &orchestrator_toolcall::envelope_schema())
}

/// Why a text is no envelope.
enum Refusal {
    NotJson(ParseError),
    NotAnEnvelope(Vec<Problem>),
}

fn read(bytes: &[u8]) -> Result<Envelope, Refusal> {
    let value = orchestrator_toolcall::parse_strict(bytes, &Limits::DEFAULT).map_err(Refusal::NotJson)?;
    Envelope::from_value(value).map_err(Refusal::NotAnEnvelope)
}

impl Refusal {
    fn into_exception(self, py: Python<'_>) -> PyErr {
        let (message, code, hint, causes) = match &self {
            Self::NotJson(error) => (error.to_string(), error.code(), error.hint(), Vec::new()),
            Self::NotAnEnvelope(problems) => (
                "the text is JSON, but no envelope".to_owned(),
                "toolcall.not_an_envelope",
                "answer with an envelope as `orchestrator.toolcall.schema()` describes it",
                problems.iter().map(ToString::to_string).collect(),
            ),
        };
        let details = Details {
            class: "ToolCallError",
            message,
            code,
            exit_code: EXIT_CODE,
            hint: Some(hint),
            causes: &causes,
            stderr_tail: &[],
            retry_after_seconds: None,
        };
        exception(py, &details)
    }
}

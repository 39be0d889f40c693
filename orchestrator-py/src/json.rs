//! Values on their way between Rust and Python, in the shape they have on the wire. Python's own `json` does the
//! work, so that what cannot be written is refused in its words.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;
use serde_json::Value;

use orchestrator_core::{ErrorCode, Problem};

use crate::error::raise;

/// Makes a Python object of a value: `dict`, `list`, `str`, numbers, `None`.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    from_text(py, serde_json::to_string(value))
}

/// Makes a Python object of JSON that was just written.
pub(crate) fn from_text(py: Python<'_>, text: serde_json::Result<String>) -> PyResult<Bound<'_, PyAny>> {
    let text = text.map_err(|error| {
        let problem = Problem::new(ErrorCode::Internal, "an answer could not be handed over to Python");
        raise(py, &problem.with_cause(error.to_string()))
    })?;
    py.import("json")?.call_method1("loads", (text,))
}

/// Reads a Python object as JSON.
pub(crate) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = object.py();
    let keywords = PyDict::new(py);
    keywords.set_item("allow_nan", false)?;
    let text: String = py.import("json")?.call_method("dumps", (object,), Some(&keywords))?.extract()?;
    serde_json::from_str(&text).map_err(|error| {
        let problem = Problem::new(ErrorCode::Usage, "an argument cannot be sent as JSON");
        raise(py, &problem.with_cause(error.to_string()))
    })
}

//! Logs as they come: an iterator of Python over lines.

use orchestrator_core::instance::logs::LogLine;
use pyo3::prelude::*;

use crate::closable::{ClosableStream, Items};
use crate::json::to_python;
use crate::runtime::ask;

/// An iterator over the lines of an instance's logs. It has no end of its own: close it, or leave its `with` block.
#[pyclass(frozen, module = "orchestrator")]
pub(crate) struct LogFollower {
    lines: ClosableStream<LogLine>,
}

impl LogFollower {
    pub(crate) fn new(lines: Items<LogLine>) -> Self {
        Self { lines: ClosableStream::new(lines) }
    }
}

#[pymethods]
impl LogFollower {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let line = ask(py, async { self.lines.next().await.transpose() })?;
        line.map(|line| to_python(py, &line)).transpose()
    }

    /// Ends the iteration, also one that waits in another thread.
    fn close(&self) {
        self.lines.close();
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyAny>) {
        self.close();
    }
}

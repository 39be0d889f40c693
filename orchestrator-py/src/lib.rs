//! The Python module `orchestrator`: the only crate that knows Python.
//!
//! Owns: how calls of Python become calls of the library (or of a daemon that owns the home) and how what comes back
//! becomes Python objects and exceptions. Holds no rule about instances of its own. The public package is
//! `python/orchestrator`; what is built from here is its private part, `orchestrator._orchestrator`.

mod backend;
mod chat;
mod closable;
mod demo;
mod engine;
mod error;
mod home;
mod json;
mod lines;
mod operation;
mod orchestrator;
mod runtime;
mod toolcall;

/// What Python sees of this crate.
#[pyo3::pymodule]
mod _orchestrator {
    #[pymodule_export]
    use crate::chat::ChatStream;
    #[pymodule_export]
    use crate::demo::write_demo_model;
    #[pymodule_export]
    use crate::lines::LogFollower;
    #[pymodule_export]
    use crate::orchestrator::{Orchestrator, connect};
    #[pymodule_export]
    use crate::toolcall::{PyToolSet, envelope_schema, parse_envelope, validate};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

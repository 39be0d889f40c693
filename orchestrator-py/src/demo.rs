//! The demo model, for trying an engine without a download.

use std::io;
use std::path::{Path, PathBuf};

use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::model::demo::{self, DemoModel};
use pyo3::prelude::*;

use crate::error::raise_error;

#[derive(Debug, thiserror::Error)]
#[error("could not write a demo model to `{path}`")]
struct DemoError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Coded for DemoError {
    fn code(&self) -> ErrorCode {
        match self.source.kind() {
            io::ErrorKind::StorageFull => ErrorCode::DiskFull,
            _ => ErrorCode::HomeUnusable,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("check that the folder exists, can be written and has 2 MiB of free space".to_owned())
    }
}

/// Writes a small model file with random weights (GGUF, about a megabyte): what it says is noise, everything around
/// it is real.
///
/// Returns the size of the file in bytes.
#[pyfunction]
pub(crate) fn write_demo_model(py: Python<'_>, path: PathBuf) -> PyResult<u64> {
    let written = py.detach(|| demo::write_demo_model(Path::new(&path), &DemoModel::default()));
    written.map(|file| file.bytes).map_err(|source| raise_error(py, &DemoError { path, source }))
}

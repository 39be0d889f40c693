//! A text that comes from Python: `str`, `bytes` or `bytearray`.

use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};

/// Texts from this length on, in bytes, are read without the interpreter's lock: below, letting go costs more.
const LARGE: usize = 4 * 1024;

/// The bytes of a text, borrowed where possible.
pub(super) enum Text {
    Str(PyBackedStr),
    Bytes(PyBackedBytes),
}

impl Text {
    pub(super) fn of(text: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = text.extract::<PyBackedBytes>() {
            return Ok(Self::Bytes(bytes));
        }
        match text.extract::<PyBackedStr>() {
            Ok(text) => Ok(Self::Str(text)),
            // A lone half of a surrogate pair is no character. What stands for it is no UTF-8, and is refused as such.
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyUnicodeEncodeError>(text.py()) => {
                Ok(Self::Bytes(text.call_method1("encode", ("utf-8", "surrogatepass"))?.extract()?))
            }
            Err(error) => Err(error),
        }
    }

    /// Does something with the bytes, without the lock if it may take a while.
    pub(super) fn read<R: Send>(&self, py: Python<'_>, read: impl FnOnce(&[u8]) -> R + Send) -> R {
        let bytes: &[u8] = match self {
            Self::Str(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        };
        if bytes.len() < LARGE { read(bytes) } else { py.detach(|| read(bytes)) }
    }
}

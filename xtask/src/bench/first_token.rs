//! The time to the first token through us, beside that of the same engine asked directly: the real llama.cpp.

use crate::shell::TaskResult;

pub(crate) fn run() -> TaskResult {
    Ok(())
}

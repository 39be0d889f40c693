//! The daemon by itself.

use crate::shell::TaskResult;

pub(crate) fn run() -> TaskResult {
    Ok(())
}

//! Where Python waits for asynchronous work: one tokio runtime for the process, the interpreter released meanwhile,
//! and Ctrl-C heard.

use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use orchestrator_core::{ErrorCode, Problem};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::error::raise;

/// How often a waiting call looks whether a signal came.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);
/// The work is waiting for processes and sockets; this many threads are plenty for it.
const WORKERS: usize = 2;

/// The runtime and the process it belongs to.
struct OwnedRuntime {
    process: u32,
    runtime: Runtime,
}

static RUNTIME: OnceLock<OwnedRuntime> = OnceLock::new();

/// Returns the runtime of this process.
///
/// # Errors
/// Fails in a process that was forked from one that has a runtime: its threads were not forked with it.
pub(crate) fn runtime() -> Result<&'static Runtime, Problem> {
    if RUNTIME.get().is_none() {
        let built = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("orchestrator").enable_all().build();
        let runtime = built.map_err(|error| {
            let problem = Problem::new(ErrorCode::Internal, "could not start the threads that do the work");
            problem.with_cause(error.to_string()).with_hint("check the limits on threads and open files (`ulimit -a`)")
        })?;
        // Where two threads come here at once, one of the two runtimes is dropped again, unused.
        let _ = RUNTIME.set(OwnedRuntime { process: std::process::id(), runtime });
    }
    match RUNTIME.get() {
        Some(owned) if owned.process == std::process::id() => Ok(&owned.runtime),
        _ => Err(Problem::new(ErrorCode::Usage, "this process was forked from one that uses `orchestrator`")
            .with_hint("start processes with `multiprocessing.set_start_method(\"spawn\")`")),
    }
}

/// Waits for `future` with the interpreter released. A signal whose handler raises, such as Ctrl-C, ends the wait:
/// the future is dropped, and what the handler raised is returned.
pub(crate) fn wait<F>(py: Python<'_>, future: F) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let runtime = runtime().map_err(|problem| raise(py, &problem))?;
    py.detach(|| {
        runtime.block_on(async {
            let mut future = pin!(future);
            let mut checks = tokio::time::interval(SIGNAL_CHECK);
            loop {
                tokio::select! {
                    biased;
                    output = &mut future => return Ok(output),
                    _ = checks.tick() => check_signals()?,
                }
            }
        })
    })
}

/// Runs the handlers of signals that came. Where the interpreter is ending there is nobody left to raise anything for.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough in its lifetime")]
fn check_signals() -> PyResult<()> {
    Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(()))
}

/// As [`wait`], and raises what the work failed with.
pub(crate) fn ask<T: Send>(py: Python<'_>, work: impl Future<Output = Result<T, Problem>> + Send) -> PyResult<T> {
    wait(py, work)?.map_err(|problem| raise(py, &problem))
}

/// Lets go of something that may need the runtime for it.
pub(crate) fn release<T>(value: T) {
    let Ok(runtime) = runtime() else {
        // In a forked child the original is still in use: nothing of it may be touched.
        std::mem::forget(value);
        return;
    };
    let _inside = runtime.enter();
    drop(value);
}

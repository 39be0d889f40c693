//! How a server ends, by itself or by us, what that is called, and what comes after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::Driver;
use super::phase::{Phase, Trouble};
use crate::error::Problem;
use crate::event::Timestamp;
use crate::instance::last_words;
use crate::instance::restart::{RestartDecision, RestartHistory, decide};
use crate::instance::state::{ExitCause, ExitReport, Failure};
use crate::launcher::{LaunchError, Workload, WorkloadExit};
use crate::scheduler::policy::Eviction;

/// The status with which a shell reports that its command was killed (128 and the signal's number).
const STATUS_OF_KILLED: i32 = 137;
const SIGKILL: i32 = 9;

/// What comes after a failure.
enum Next {
    /// A phase without a server.
    Rest { phase: Box<Phase>, why: String },
    /// Another start, at once.
    StartAgain { why: &'static str },
}

impl Driver {
    /// The server ended by itself.
    pub(super) async fn handle_exit(&mut self, exit: WorkloadExit) {
        let (workload, offset, ready_for) = match &self.phase {
            Phase::Loading(loading) => (loading.workload.clone(), loading.stderr_offset, None),
            Phase::Serving(serving) => (serving.workload.clone(), serving.stderr_offset, Some(serving.since.elapsed())),
            Phase::Stopped { .. } | Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => {
                return;
            }
        };
        let report = self.explain(exit, &workload, offset).await;
        // Whoever waits for it or reads a stream of it hears of the loss now. What it left is cleared away after that, and
        // before anything new is started: only this task starts servers of this instance, and it is busy here.
        match self.after(Failure::Exited(report), ready_for) {
            Next::Rest { phase, why } => {
                self.show_loss(*phase, &why);
                clear_away(&workload).await;
                // Where the next start is due its own note comes in a moment, and says more.
                if !self.phase.is_over() {
                    self.persist().await;
                }
                self.show_scheduler();
            }
            Next::StartAgain { why } => {
                clear_away(&workload).await;
                self.begin_start(why).await;
            }
        }
    }

    async fn explain(&mut self, exit: WorkloadExit, workload: &Arc<dyn Workload>, stderr_offset: u64) -> ExitReport {
        let tail = last_words::read(self.services.stderr_log(&self.spec), stderr_offset).await;
        let known = self.services.runtimes.get(&self.spec.runtime).and_then(|runtime| runtime.explain_exit(&tail));
        let saw_oom_kill = was_killed(exit) && workload.saw_oom_kill().await;
        ExitReport { cause: cause_of(known, exit, saw_oom_kill), stderr_tail: tail, at: Timestamp::now() }
    }

    pub(super) async fn handle_failure(&mut self, failure: Failure, ready_for: Option<Duration>) {
        if matches!(self.phase, Phase::Starting { stop_asked: true, .. }) {
            self.end_before_start("it was told to stop").await;
            return;
        }
        match self.after(failure, ready_for) {
            Next::Rest { phase, why } => self.enter(*phase, &why).await,
            Next::StartAgain { why } => self.begin_start(why).await,
        }
    }

    /// Asks the policy what comes after a failure.
    fn after(&mut self, failure: Failure, ready_for: Option<Duration>) -> Next {
        let history = RestartHistory { failures: self.failures, ready_for, port_is_configured: self.spec.server.port.is_some() };
        let why = failure.to_problem(self.name.as_str()).to_string();
        match decide(&self.spec.restart_policy, history, &failure, self.services.jitter()) {
            RestartDecision::Retry { after, attempt } => {
                self.failures = attempt;
                let due = Timestamp::now().after(after);
                Next::Rest { phase: Box::new(Phase::Backoff { until: Instant::now() + after, due, attempt, failure }), why }
            }
            RestartDecision::AnotherPort { attempt } => {
                // No failure that anybody who waits should hear of: the next try is under way.
                self.failures = attempt;
                Next::StartAgain { why: "its port was taken by another program; it gets another one" }
            }
            RestartDecision::GiveUp(because) => {
                let why = format!("{why}; {because}");
                Next::Rest { phase: Box::new(Phase::Failed { since: Timestamp::now(), failure }), why }
            }
        }
    }

    /// Nothing runs, and a stop was asked: that is the end, or a new beginning.
    pub(super) async fn end_before_start(&mut self, why: &str) {
        if self.then_start {
            self.begin_start("it was told to start again").await;
        } else {
            self.enter(Phase::Stopped { last_exit: None }, why).await;
        }
    }

    /// Says why a server is ended.
    pub(super) fn why(&self, trouble: &Trouble) -> String {
        match trouble {
            Trouble::Unloaded(Eviction::Room { newcomer }) => match self.services.scheduler.name(*newcomer) {
                Some(newcomer) => format!("`{newcomer}` needs its room"),
                None => "another instance needs its room".to_owned(),
            },
            Trouble::Unloaded(Eviction::Idle) => "nobody asked for it for longer than its `ttl`".to_owned(),
            Trouble::Requested => "it was told to stop".to_owned(),
            Trouble::NeverReady { .. } => "it did not become ready within its start period".to_owned(),
            Trouble::Unresponsive => "it stopped answering".to_owned(),
            Trouble::PortTaken => "somebody else answers on its port".to_owned(),
        }
    }

    /// Begins to end the server, for a reason that decides what comes after.
    pub(super) async fn begin_stop(&mut self, trouble: Trouble) {
        let grace = match &trouble {
            // It has been silent for many times its limit. A server that is stopped, or hangs in a driver, does not hear a
            // request, and one that is only late has nothing to put down: its answers are lost in either case.
            Trouble::Unresponsive => Duration::ZERO,
            Trouble::Requested | Trouble::NeverReady { .. } | Trouble::PortTaken | Trouble::Unloaded(_) => self.spec.stop.grace.get(),
        };
        let why = self.why(&trouble);
        let (workload, server, stderr_offset) = match &mut self.phase {
            Phase::Starting { stop_asked, .. } => {
                *stop_asked = true;
                if self.phase.waits_for_room() {
                    // Nothing was started: the question for room is taken back with the phase.
                    self.end_before_start(&why).await;
                } else {
                    self.persist().await;
                }
                return;
            }
            Phase::Loading(loading) => (loading.workload.clone(), loading.server.clone(), loading.stderr_offset),
            Phase::Serving(serving) => (serving.workload.clone(), serving.server.clone(), serving.stderr_offset),
            Phase::Stopped { .. } | Phase::Stopping { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => return,
        };
        let ready_for = match &self.phase {
            Phase::Serving(serving) => Some(serving.since.elapsed()),
            _ => None,
        };
        self.enter(Phase::stopping(workload, server, trouble, grace, stderr_offset, ready_for), &why).await;
    }

    pub(super) async fn handle_stopped(&mut self, result: Result<WorkloadExit, LaunchError>) {
        let Phase::Stopping { trouble, ready_for, stderr_offset, .. } = &self.phase else { return };
        let (trouble, ready_for, stderr_offset) = (trouble.clone(), *ready_for, *stderr_offset);
        if let Err(error) = result {
            let failure = Failure::NotStarted(Problem::from(error));
            let why = failure.to_problem(self.name.as_str()).to_string();
            self.enter(Phase::Failed { since: Timestamp::now(), failure }, &why).await;
            return;
        }
        if self.then_start {
            self.begin_start("it was told to start again").await;
            return;
        }
        let tail = last_words::read(self.services.stderr_log(&self.spec), stderr_offset).await;
        let report = ExitReport { cause: trouble.cause(), stderr_tail: tail, at: Timestamp::now() };
        if self.wanted {
            self.handle_failure(Failure::Exited(report), ready_for).await;
        } else {
            let why = format!("{}, and nothing of it is left", self.why(&trouble));
            self.enter(Phase::Stopped { last_exit: Some(report) }, &why).await;
        }
    }
}

/// Ends what a server that ended by itself has left running.
async fn clear_away(workload: &Arc<dyn Workload>) {
    if let Err(error) = workload.stop(Duration::ZERO).await {
        warn!(%error, "leftovers of the server are still running");
    }
}

fn was_killed(exit: WorkloadExit) -> bool {
    matches!(exit, WorkloadExit::Signal(SIGKILL) | WorkloadExit::Status(STATUS_OF_KILLED))
}

/// Names the cause of an exit. What the engine said beats its status, and what the kernel did beats what it said.
fn cause_of(known: Option<ExitCause>, exit: WorkloadExit, saw_oom_kill: bool) -> ExitCause {
    match (known, exit) {
        (_, WorkloadExit::Status(0)) => ExitCause::Finished,
        (_, exit) if was_killed(exit) && saw_oom_kill => ExitCause::OutOfMemory,
        (Some(cause), _) => cause,
        (None, WorkloadExit::Status(status)) => ExitCause::Status { status },
        (None, WorkloadExit::Signal(signal)) => ExitCause::Signal { signal, name: last_words::signal_name(signal) },
        (None, WorkloadExit::Unseen) => ExitCause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_a_want_of_memory_only_when_the_kernel_says_so() {
        let signal = |signal, name: &str| ExitCause::Signal { signal, name: name.to_owned() };
        let said = ExitCause::BadArgument { detail: "--x".to_owned() };
        let cases = [
            (None, WorkloadExit::Signal(9), true, ExitCause::OutOfMemory),
            (None, WorkloadExit::Signal(9), false, signal(9, "SIGKILL")),
            (None, WorkloadExit::Signal(11), true, signal(11, "SIGSEGV")),
            (None, WorkloadExit::Status(137), true, ExitCause::OutOfMemory),
            (None, WorkloadExit::Status(137), false, ExitCause::Status { status: 137 }),
            (Some(said.clone()), WorkloadExit::Signal(9), true, ExitCause::OutOfMemory),
            (Some(said.clone()), WorkloadExit::Signal(9), false, said.clone()),
            (Some(said), WorkloadExit::Status(0), true, ExitCause::Finished),
            (None, WorkloadExit::Unseen, true, ExitCause::Unknown),
        ];
        for (known, exit, saw_oom_kill, expected) in cases {
            assert_eq!(cause_of(known, exit, saw_oom_kill), expected, "{exit:?} {saw_oom_kill}");
        }
    }
}

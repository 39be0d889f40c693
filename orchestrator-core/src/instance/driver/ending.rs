//! How a server ends, by itself or by us, what that is called, and what comes after it.

use std::time::{Duration, Instant};

use tracing::warn;

use super::Driver;
use super::phase::{Phase, Trouble};
use crate::error::Problem;
use crate::event::Timestamp;
use crate::instance::last_words;
use crate::instance::restart::{RestartDecision, RestartHistory, decide};
use crate::instance::state::{ExitCause, ExitReport, Failure};
use crate::launcher::{LaunchError, WorkloadExit};
use crate::scheduler::policy::Eviction;

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
        let report = self.explain(exit, offset).await;
        // What the leader started may still run: it goes before anything new is started.
        if let Err(error) = workload.stop(Duration::ZERO).await {
            warn!(%error, "leftovers of the server are still running");
        }
        self.handle_failure(Failure::Exited(report), ready_for).await;
    }

    async fn explain(&mut self, exit: WorkloadExit, stderr_offset: u64) -> ExitReport {
        let tail = last_words::read(self.services.stderr_log(&self.spec), stderr_offset).await;
        let known = self.services.runtimes.get(&self.spec.runtime).and_then(|runtime| runtime.explain_exit(&tail));
        let cause = match (known, exit) {
            (_, WorkloadExit::Status(0)) => ExitCause::Finished,
            (Some(cause), _) => cause,
            (None, WorkloadExit::Status(status)) => ExitCause::Status { status },
            (None, WorkloadExit::Signal(signal)) => ExitCause::Signal { signal, name: last_words::signal_name(signal) },
            (None, WorkloadExit::Unseen) => ExitCause::Unknown,
        };
        ExitReport { cause, stderr_tail: tail, at: Timestamp::now() }
    }

    pub(super) async fn handle_failure(&mut self, failure: Failure, ready_for: Option<Duration>) {
        if matches!(self.phase, Phase::Starting { stop_asked: true, .. }) {
            self.end_before_start("it was told to stop").await;
            return;
        }
        let history = RestartHistory { failures: self.failures, ready_for, port_is_configured: self.spec.server.port.is_some() };
        let why = failure.to_problem(self.name.as_str()).to_string();
        match decide(&self.spec.restart_policy, history, &failure, self.services.jitter()) {
            RestartDecision::Retry { after, attempt } => {
                self.failures = attempt;
                let due = Timestamp::now().after(after);
                self.enter(Phase::Backoff { until: Instant::now() + after, due, attempt, failure }, &why).await;
            }
            RestartDecision::AnotherPort { attempt } => {
                // No failure that anybody who waits should hear of: the next try is under way.
                self.failures = attempt;
                self.begin_start("its port was taken by another program; it gets another one").await;
            }
            RestartDecision::GiveUp => self.enter(Phase::Failed { since: Timestamp::now(), failure }, &why).await,
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
    pub(super) fn why(&self, trouble: Trouble) -> String {
        match trouble {
            Trouble::Unloaded(Eviction::Room { newcomer }) => match self.services.scheduler.name(newcomer) {
                Some(newcomer) => format!("`{newcomer}` needs its room"),
                None => "another instance needs its room".to_owned(),
            },
            Trouble::Unloaded(Eviction::Idle) => "nobody asked for it for longer than its `ttl`".to_owned(),
            Trouble::Requested => "it was told to stop".to_owned(),
            Trouble::NeverReady => "it did not become ready within its start period".to_owned(),
            Trouble::Unresponsive => "it stopped answering".to_owned(),
            Trouble::PortTaken => "somebody else answers on its port".to_owned(),
        }
    }

    /// Begins to end the server, for a reason that decides what comes after.
    pub(super) async fn begin_stop(&mut self, trouble: Trouble) {
        let grace = match trouble {
            Trouble::Unresponsive => Duration::from_secs(1),
            Trouble::Requested | Trouble::NeverReady | Trouble::PortTaken | Trouble::Unloaded(_) => self.spec.stop.grace.get(),
        };
        let why = self.why(trouble);
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
        let (trouble, ready_for, stderr_offset) = (*trouble, *ready_for, *stderr_offset);
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
            self.enter(Phase::Stopped { last_exit: Some(report) }, "nothing of it is left").await;
        }
    }
}

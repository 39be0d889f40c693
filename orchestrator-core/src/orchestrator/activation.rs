//! Switching: one instance of a runtime becomes its active one, in the place of another.
//!
//! In order: nobody else may switch the runtime meanwhile, the old one gets no more requests (they wait) and drains, it
//! is stopped, the new one is started and confirmed. Where that fails, the old one is started again; where the daemon ends
//! on the way, the next one does so ([`interrupted`]).

mod interrupted;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Orchestrator;
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind};
use crate::instance::InstanceState;
use crate::names::InstanceName;
use crate::operation::{Operation, OperationKind, Progress, ProgressUpdate};
use crate::runtime::RuntimeKind;
use crate::scheduler::{Hold, RuntimeClaim};

/// How long a switch may take to notice that it is called off.
const SWITCH_END: Duration = Duration::from_secs(5);

impl Orchestrator {
    /// Begins to make an instance the active one of its runtime.
    ///
    /// # Errors
    /// Fails at once when the instance cannot be used, or when another operation has the runtime to itself.
    pub async fn activate(&self, name: &InstanceName) -> Result<Operation, Problem> {
        let runtime = self.read_spec(name)?.runtime;
        let claim = self.claim(runtime, &format!("switching to `{name}`"))?;
        let (orchestrator, name) = (self.clone(), name.clone());
        let kind = OperationKind::Activate { instance: name.clone() };
        let work = move |progress: crate::operation::registry::OperationProgress, cancel: CancellationToken| async move {
            let outcome = orchestrator.switch(runtime, &name, &progress, &cancel).await;
            drop(claim);
            outcome
        };
        self.inner.operations.begin(kind, work).await
    }

    /// Returns the active instance of a runtime.
    #[must_use]
    pub fn active(&self, runtime: RuntimeKind) -> Option<InstanceName> {
        self.inner.fleet.active(runtime)
    }

    /// Reads which instances are active.
    pub(super) async fn recover_active(&self) -> Result<(), Problem> {
        for runtime in self.inner.services.runtimes.keys() {
            let stored = self.inner.services.store.get(&key(*runtime)).await?;
            if let Some(name) = stored.and_then(|name| InstanceName::try_new(&name).ok()) {
                self.inner.fleet.set_active(*runtime, name);
            }
        }
        Ok(())
    }

    /// Gives an operation, such as a benchmark, a runtime to itself: no other one may have it, requests for its instances
    /// wait, and those that are under way are waited for, up to `limits.drain`.
    ///
    /// # Errors
    /// Fails when another operation has it.
    pub async fn hold_runtime(&self, runtime: RuntimeKind, purpose: &str) -> Result<RuntimeHold, Problem> {
        let claim = self.claim(runtime, purpose)?;
        let members = self.inner.services.scheduler.of_runtime(runtime);
        let hold = self.inner.services.scheduler.hold(members.clone());
        let mut still_in_flight = 0;
        for (_, handle) in self.inner.fleet.handles().into_iter().filter(|(_, handle)| members.contains(&handle.member)) {
            still_in_flight += self.drain(&handle).await;
        }
        Ok(RuntimeHold { still_in_flight, _hold: hold, _claim: claim })
    }

    fn claim(&self, runtime: RuntimeKind, purpose: &str) -> Result<RuntimeClaim, Problem> {
        self.inner.services.scheduler.claim(runtime, purpose).map_err(|holder| {
            let problem = Problem::new(ErrorCode::RuntimeHeld, format!("`{}` is held by another operation", runtime.as_str()));
            problem.with_cause(holder).with_hint("wait for its end; `orch events` shows it")
        })
    }

    async fn switch(
        &self,
        runtime: RuntimeKind,
        new: &InstanceName,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<(), Problem> {
        let old = self.active(runtime).filter(|old| old != new && self.runs(old));
        self.note_switch(runtime, old.as_ref(), new).await?;
        let outcome = tokio::select! {
            biased;
            outcome = self.perform_switch(runtime, old.clone(), new, progress) => outcome,
            () = cancel.cancelled() => {
                let cancelled = Problem::new(ErrorCode::Cancelled, format!("switching to `{new}` was cancelled"));
                if self.inner.operations.is_suspended() {
                    // The owner of the home goes. The note stays: the next one undoes what was begun.
                    return Err(cancelled);
                }
                let say = |phase: String| progress.update(ProgressUpdate { phase, ..ProgressUpdate::default() });
                Err(self.roll_back(old.as_ref(), new, cancelled, &say).await)
            }
        };
        self.forget_switch(runtime).await;
        outcome
    }

    /// Ends the switches that are under way because every server is ended: nothing is started by them any more, and nothing is
    /// undone by the next owner.
    pub(super) async fn abandon_switches(&self) {
        self.inner.operations.suspend();
        self.inner.operations.left(SWITCH_END).await;
        self.forget_switches().await;
    }

    async fn perform_switch(
        &self,
        runtime: RuntimeKind,
        old: Option<InstanceName>,
        new: &InstanceName,
        progress: &dyn Progress,
    ) -> Result<(), Problem> {
        // What asks for the old one meanwhile waits until it is decided which of the two runs.
        let mut hold = None;
        let say = |phase: String| progress.update(ProgressUpdate { phase, ..ProgressUpdate::default() });
        if let Some(old) = &old {
            say(format!("waiting for the requests of `{old}`"));
            if let Some(handle) = self.inner.fleet.handle(old) {
                hold = Some(self.inner.services.scheduler.hold(vec![handle.member]));
                let cut = self.drain(&handle).await;
                if cut > 0 {
                    self.warn(Some(old), format!("{cut} requests of `{old}` are cut: they were not done within `limits.drain`"));
                }
            }
            say(format!("stopping `{old}`"));
            match self.down(old).await {
                Err(problem) if problem.code != ErrorCode::InstanceNotRunning => return Err(problem),
                _ => {}
            }
        }
        say(format!("starting `{new}`"));
        let outcome = self.bring_up(new).await;
        match outcome {
            Ok(()) => {
                self.inner.services.store.put(&key(runtime), new.to_string()).await?;
                self.inner.fleet.set_active(runtime, new.clone());
                if let Some(handle) = self.inner.fleet.handle(new) {
                    self.inner.services.scheduler.activate(runtime, handle.member);
                }
                drop(hold);
                let message = format!("`{new}` is the active instance of `{}`", runtime.as_str());
                self.inner.services.events.record(EventDraft::new(EventKind::InstanceState, message).about(new));
                Ok(())
            }
            Err(problem) => Err(self.roll_back(old.as_ref(), new, problem, &say).await),
        }
    }

    async fn roll_back(
        &self,
        old: Option<&InstanceName>,
        new: &InstanceName,
        problem: Problem,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Problem {
        // What failed may be trying again; its room is needed.
        let _ = self.down(new).await;
        let Some(old) = old else { return problem };
        say(format!("going back to `{old}`"));
        match self.bring_up(old).await {
            Ok(()) => problem.with_hint(format!("`{old}` runs again; `orch logs {new} --stream stderr` has what `{new}` said")),
            Err(again) => {
                let mut problem = problem.with_cause(format!("`{old}` did not come up again either: {again}"));
                problem.causes.extend(again.causes);
                problem.with_hint(format!("run `orch up {old}` when the cause is mended"))
            }
        }
    }

    async fn bring_up(&self, name: &InstanceName) -> Result<(), Problem> {
        self.up(name).await?;
        let limit = self.inner.services.scheduler.limits().start_wait.get();
        if let Ok(outcome) = tokio::time::timeout(limit, self.wait_ready(name)).await {
            return outcome.map(|_| ());
        }
        let problem = Problem::new(ErrorCode::InstanceStartTimeout, format!("`{name}` was not ready within {} s", limit.as_secs()));
        Err(problem.with_hint("raise `limits.start_wait` in `config.yaml` if it only needs longer"))
    }

    fn runs(&self, name: &InstanceName) -> bool {
        let handle = self.inner.fleet.handle(name);
        handle.is_some_and(|handle| !matches!(handle.snapshot.borrow().state, InstanceState::Stopped { .. } | InstanceState::Failed { .. }))
    }
}

/// Keeps a runtime for one operation while it lives.
pub struct RuntimeHold {
    /// How many requests were not done in time and are still under way.
    pub still_in_flight: u32,
    _hold: Hold,
    _claim: RuntimeClaim,
}

fn key(runtime: RuntimeKind) -> String {
    format!("active:{}", runtime.as_str())
}

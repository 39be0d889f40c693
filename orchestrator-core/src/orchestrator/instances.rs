//! What can be done with instances: up, down, restart, remove, list, read their logs.

use std::sync::Arc;

use futures_util::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use super::fleet::unknown_instance;
use super::{Orchestrator, RuntimeSummary, ServedModel, runtimes};
use crate::error::{ErrorCode, Problem};
use crate::instance::driver::{Caller, Command, InstanceHandle};
use crate::instance::logs::{self, LogLine, LogStream};
use crate::instance::{InstanceSnapshot, InstanceSpec, InstanceState, InstanceSummary};
use crate::launcher::OutputFiles;
use crate::memory_watch::StandingWarning;
use crate::names::InstanceName;

/// All instances, and what cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceList {
    /// The instances, by name.
    pub instances: Vec<InstanceSummary>,
    /// The configurations that cannot be used.
    pub problems: Vec<Problem>,
    /// How each kind of engine does.
    #[serde(default)]
    pub runtimes: Vec<RuntimeSummary>,
    /// What a person should know for as long as it is so, such as a full memory.
    #[serde(default)]
    pub warnings: Vec<StandingWarning>,
}

/// What to do about a server when its instance is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveMode {
    /// Refuse when it runs.
    IfStopped,
    /// End it first.
    StopFirst,
}

impl Orchestrator {
    /// Sees to it that an instance runs. Returns when that is under way; an instance that runs already is left alone.
    pub async fn up(&self, name: &InstanceName) -> Result<(), Problem> {
        let spec = self.read_spec(name)?;
        let handle = self.inner.fleet.handle_or_begin(&self.inner.services, &spec);
        self.send_up(&handle, spec, Caller::Person).await
    }

    /// Tells an instance to run.
    pub(super) async fn send_up(&self, handle: &InstanceHandle, spec: Arc<InstanceSpec>, caller: Caller) -> Result<(), Problem> {
        let (accepted, answer) = oneshot::channel();
        handle.send(Command::Up { spec, caller, accepted }).await?;
        answer.await.map_err(|_| stopping())?
    }

    /// Waits until an instance is ready, or until its start fails for the first time.
    pub async fn wait_ready(&self, name: &InstanceName) -> Result<InstanceSummary, Problem> {
        let handle = self.find_handle(name)?;
        let mut snapshot = handle.snapshot.clone();
        loop {
            let seen = snapshot.borrow_and_update().clone();
            match seen.state {
                InstanceState::Ready { .. } => return Ok(self.summary(name).await),
                InstanceState::Backoff { attempt, ref failure, .. } => {
                    let mut problem = failure.to_problem(name.as_str());
                    let seconds = seen.next_start_in().unwrap_or_default().as_secs_f64().ceil();
                    problem.causes.push(format!("this was attempt {attempt}; the next one comes in {seconds} s"));
                    return Err(problem);
                }
                InstanceState::Failed { failure, .. } => return Err(failure.to_problem(name.as_str())),
                InstanceState::Stopped { .. } => {
                    return Err(Problem::new(ErrorCode::InstanceNotRunning, format!("`{name}` was stopped before it was ready")));
                }
                InstanceState::Starting { .. }
                | InstanceState::Loading { .. }
                | InstanceState::Unhealthy { .. }
                | InstanceState::Stopping { .. } => {}
            }
            snapshot.changed().await.map_err(|_| stopping())?;
        }
    }

    /// Ends an instance's server. Returns when nothing of it is left.
    pub async fn down(&self, name: &InstanceName) -> Result<InstanceSummary, Problem> {
        let handle = match self.find_handle(name) {
            Ok(handle) => handle,
            Err(problem) if problem.code == ErrorCode::InstanceUnknown => return Err(problem),
            // The file may be broken while nothing runs.
            Err(_) => return Err(not_running(name)),
        };
        let (accepted, answer) = oneshot::channel();
        handle.send(Command::Down { accepted }).await?;
        let told = answer.await.map_err(|_| stopping())?;
        if let Err(problem) = &told
            && problem.code == ErrorCode::InstanceNotRunning
        {
            return Err(problem.clone());
        }
        // It ends, whether that could be written down or not.
        self.wait_stopped(&handle).await?;
        told?;
        Ok(self.summary(name).await)
    }

    async fn wait_stopped(&self, handle: &InstanceHandle) -> Result<(), Problem> {
        let mut snapshot = handle.snapshot.clone();
        loop {
            let state = snapshot.borrow_and_update().state.clone();
            match state {
                InstanceState::Stopped { .. } => return Ok(()),
                InstanceState::Failed { failure, .. } => return Err(failure.to_problem(snapshot.borrow().spec.name.as_str())),
                InstanceState::Starting { .. }
                | InstanceState::Loading { .. }
                | InstanceState::Ready { .. }
                | InstanceState::Unhealthy { .. }
                | InstanceState::Stopping { .. }
                | InstanceState::Backoff { .. } => {}
            }
            snapshot.changed().await.map_err(|_| stopping())?;
        }
    }

    /// Ends an instance's server, where there is one, and starts it with its present configuration.
    pub async fn restart(&self, name: &InstanceName) -> Result<(), Problem> {
        let spec = self.read_spec(name)?;
        let handle = self.inner.fleet.handle_or_begin(&self.inner.services, &spec);
        let (accepted, answer) = oneshot::channel();
        handle.send(Command::Restart { spec, accepted }).await?;
        answer.await.map_err(|_| stopping())?
    }

    /// Forgets an instance: its state goes, its configuration is moved to `instances/.removed`, its logs stay.
    pub async fn remove(&self, name: &InstanceName, mode: RemoveMode) -> Result<(), Problem> {
        self.inner.fleet.reload(&self.inner.services);
        if !self.inner.fleet.names().contains(name) {
            return Err(unknown_instance(name, &self.inner.fleet.names()));
        }
        let running = self.inner.fleet.handle(name).filter(|handle| !is_at_rest(&handle.snapshot.borrow().state));
        if running.is_some() {
            match mode {
                RemoveMode::StopFirst => {
                    self.down(name).await?;
                }
                RemoveMode::IfStopped => {
                    let problem = Problem::new(ErrorCode::InstanceRunning, format!("`{name}` is running"));
                    return Err(problem.with_hint(format!("run `orch down {name}` first, or `orch rm --force {name}`")));
                }
            }
        }
        self.settle(name).await?;
        self.put_config_aside(name)?;
        self.inner.services.store.delete_instance(name).await?;
        if let Some(handle) = self.inner.fleet.handle(name) {
            self.inner.services.scheduler.dismiss(handle.member);
        }
        self.inner.fleet.remove(name);
        Ok(())
    }

    /// Sees to it that the task of an instance at rest has nothing left to do: one that has failed a moment ago may still
    /// be clearing away what its server left, and would write down an instance that is gone.
    async fn settle(&self, name: &InstanceName) -> Result<(), Problem> {
        let Some(handle) = self.inner.fleet.handle(name) else { return Ok(()) };
        let (accepted, answer) = oneshot::channel();
        handle.send(Command::Down { accepted }).await?;
        // That it is not running is what is wanted.
        let _ = answer.await.map_err(|_| stopping())?;
        Ok(())
    }

    fn put_config_aside(&self, name: &InstanceName) -> Result<(), Problem> {
        let folder = self.paths().instance_dir(name);
        if !folder.exists() {
            return Ok(());
        }
        let aside = self.paths().instances_dir().join(".removed");
        let moment = crate::event::Timestamp::now().as_millis();
        let moved = std::fs::create_dir_all(&aside).and_then(|()| std::fs::rename(&folder, aside.join(format!("{name}-{moment}"))));
        moved.map_err(|error| {
            let problem = Problem::new(ErrorCode::HomeUnusable, format!("could not move `{}` aside", folder.display()));
            problem.with_cause(error.to_string()).with_hint("check the permissions of the home directory")
        })
    }

    /// Lists all instances, running or not.
    pub async fn instances(&self) -> InstanceList {
        self.inner.fleet.reload(&self.inner.services);
        let mut instances = Vec::new();
        for name in self.inner.fleet.names() {
            let is_known = self.inner.fleet.handle(&name).is_some() || matches!(self.inner.fleet.configured(&name), Some(Ok(_)));
            if is_known {
                instances.push(self.summary(&name).await);
            }
        }
        let runtimes = runtimes::sum_up(self.inner.services.runtimes.keys().copied(), &instances);
        InstanceList { instances, problems: self.inner.fleet.problems(), runtimes, warnings: self.memory().warnings() }
    }

    /// Lists what clients may ask for.
    #[must_use]
    pub fn served(&self) -> Vec<ServedModel> {
        self.inner.fleet.served()
    }

    /// Watches the state of an instance.
    pub fn watch(&self, name: &InstanceName) -> Result<watch::Receiver<InstanceSnapshot>, Problem> {
        Ok(self.find_handle(name)?.snapshot)
    }

    /// Returns the last `tail` lines of an instance's logs.
    pub async fn read_log(&self, name: &InstanceName, stream: LogStream, tail: usize) -> Result<Vec<LogLine>, Problem> {
        let files = self.log_files(name)?;
        let read = tokio::task::spawn_blocking(move || logs::read_tail(&files, stream, tail)).await;
        let failed = |cause: String| Problem::new(ErrorCode::Internal, format!("could not read the logs of `{name}`")).with_cause(cause);
        read.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }

    /// Returns the last `tail` lines of an instance's logs, and then every new one.
    pub fn follow_log(
        &self,
        name: &InstanceName,
        stream: LogStream,
        tail: usize,
    ) -> Result<impl Stream<Item = LogLine> + Send + use<>, Problem> {
        Ok(logs::follow(&self.log_files(name)?, stream, tail))
    }

    /// Returns where an instance's logs are. Works for instances whose configuration is broken.
    pub(super) fn log_files(&self, name: &InstanceName) -> Result<OutputFiles, Problem> {
        let folder = self.paths().instance_logs_dir(name);
        if !folder.exists() && !self.inner.fleet.names().contains(name) {
            self.inner.fleet.reload(&self.inner.services);
            if !self.inner.fleet.names().contains(name) {
                return Err(unknown_instance(name, &self.inner.fleet.names()));
            }
        }
        Ok(OutputFiles { stdout: Some(folder.join("stdout.log")), stderr: Some(folder.join("stderr.log")) })
    }

    /// Reads the present configuration of an instance from its file.
    pub(super) fn read_spec(&self, name: &InstanceName) -> Result<Arc<InstanceSpec>, Problem> {
        self.inner.fleet.reload(&self.inner.services);
        match self.inner.fleet.configured(name) {
            Some(spec) => spec,
            None => Err(unknown_instance(name, &self.inner.fleet.names())),
        }
    }

    /// Finds the task of an instance; begins one for an instance that was never up.
    fn find_handle(&self, name: &InstanceName) -> Result<InstanceHandle, Problem> {
        if let Some(handle) = self.inner.fleet.handle(name) {
            return Ok(handle);
        }
        let spec = self.read_spec(name)?;
        Ok(self.inner.fleet.handle_or_begin(&self.inner.services, &spec))
    }
}

fn is_at_rest(state: &InstanceState) -> bool {
    matches!(state, InstanceState::Stopped { .. } | InstanceState::Failed { .. })
}

fn not_running(name: &InstanceName) -> Problem {
    Problem::new(ErrorCode::InstanceNotRunning, format!("`{name}` is not running")).with_hint("run `orch ps` for what is running")
}

fn stopping() -> Problem {
    Problem::new(ErrorCode::DaemonStopping, "the daemon is shutting down")
}

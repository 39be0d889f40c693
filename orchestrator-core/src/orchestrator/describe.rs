//! How an instance is shown: one row, or everything about it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Orchestrator;
use crate::error::Problem;
use crate::event::{Event, Timestamp};
use crate::instance::driver::InstanceHandle;
use crate::instance::spec::Backend;
use crate::instance::{Health, InstanceSnapshot, InstanceSpec, InstanceState, InstanceSummary, reason};
use crate::launcher::Workload;
use crate::model::InstalledModel;
use crate::names::InstanceName;
use crate::scheduler::policy::MemberView;

/// How many events a description shows.
const EVENTS: usize = 10;

/// Everything about one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceDescription {
    /// Its row.
    pub summary: InstanceSummary,
    /// Its state, with what is true in it.
    pub state: InstanceState,
    /// Why it is in that state, and since when, in one sentence.
    #[serde(default)]
    pub reason: String,
    /// The configuration it runs with, or would; defaults filled in, and without the secrets in its `env`.
    pub spec: InstanceSpec,
    /// Whether its file says something else by now; `orch restart` takes that over.
    pub config_changed: bool,
    /// What is wrong with its file, where something is.
    pub config_problem: Option<Problem>,
    /// Its model, where it could be looked at.
    pub model: Option<InstalledModel>,
    /// What is wrong with its model, where something is.
    pub model_problem: Option<Problem>,
    /// The folder of its configuration.
    pub config_dir: PathBuf,
    /// The folder of its logs.
    pub logs_dir: PathBuf,
    /// How many requests are under way.
    pub requests_in_flight: usize,
    /// How many requests wait for it.
    #[serde(default)]
    pub requests_waiting: usize,
    /// What it holds, or waits for, in the scheduler's books: MiB by kind of memory (`host`, `gpu0`, …).
    #[serde(default)]
    pub memory_reserved_mb: BTreeMap<String, u64>,
    /// What happened to it lately, oldest first.
    pub events: Vec<Event>,
}

impl Orchestrator {
    /// Returns everything about one instance.
    pub async fn describe(&self, name: &InstanceName) -> Result<InstanceDescription, Problem> {
        let configured = self.read_spec(name);
        let handle = self.inner.fleet.handle(name);
        // Looked at once, so that all that is shown was true at one moment.
        let snapshot = handle.as_ref().map(|handle| handle.snapshot.borrow().clone());
        let spec = match (&snapshot, &configured) {
            (Some(snapshot), _) if snapshot.state.server().is_some() => snapshot.spec.clone(),
            (_, Ok(configured)) => configured.clone(),
            (Some(snapshot), Err(_)) => snapshot.spec.clone(),
            (None, Err(problem)) => return Err(problem.clone()),
        };
        let view = handle.as_ref().and_then(|handle| self.inner.services.scheduler.view(handle.member));
        let model = self.inner.services.resolve_model(&spec.model.reference).await;
        self.inner.services.events.flush().await;
        Ok(InstanceDescription {
            summary: self.summary_of(name, handle.as_ref(), snapshot.as_ref()).await,
            reason: snapshot.as_ref().map_or_else(reason::of_the_unstarted, |snapshot| reason::of(snapshot, Timestamp::now())),
            state: snapshot.map_or(InstanceState::Stopped { last_exit: None }, |snapshot| snapshot.state_now()),
            config_changed: configured.as_ref().is_ok_and(|configured| *configured != spec),
            config_problem: configured.err(),
            spec: spec.without_secrets(),
            model_problem: model.as_ref().err().cloned(),
            model: model.ok(),
            config_dir: self.paths().instance_dir(name),
            logs_dir: self.paths().instance_logs_dir(name),
            requests_in_flight: view.as_ref().map_or(0, |view| view.in_flight as usize),
            requests_waiting: view.as_ref().map_or(0, |view| view.waiting),
            memory_reserved_mb: view.as_ref().map(MemberView::memory_mb).unwrap_or_default(),
            events: self.inner.services.store.last_events(Some(name), EVENTS).await?,
        })
    }

    /// Returns the row of an instance that is configured or has a task.
    pub(super) async fn summary(&self, name: &InstanceName) -> InstanceSummary {
        let handle = self.inner.fleet.handle(name);
        let snapshot = handle.as_ref().map(|handle| handle.snapshot.borrow().clone());
        self.summary_of(name, handle.as_ref(), snapshot.as_ref()).await
    }

    async fn summary_of(
        &self,
        name: &InstanceName,
        handle: Option<&InstanceHandle>,
        snapshot: Option<&InstanceSnapshot>,
    ) -> InstanceSummary {
        let configured = self.inner.fleet.configured(name).and_then(Result::ok);
        let workload = handle.and_then(|handle| handle.workload.borrow().clone());
        let memory = match workload.filter(|_| snapshot.is_some_and(|snapshot| snapshot.state.server().is_some())) {
            Some(workload) => self.memory_of(&*workload).await,
            None => ServerMemory::default(),
        };
        summarise(name, snapshot, configured.as_deref(), memory)
    }

    async fn memory_of(&self, workload: &dyn Workload) -> ServerMemory {
        let device_bytes = match self.memory().latest().filter(|memory| !memory.uses.is_empty()) {
            Some(memory) => memory.device_bytes_of(&workload.process_ids().await),
            None => None,
        };
        ServerMemory { bytes: workload.memory_bytes().await, device_bytes }
    }
}

/// What a server's whole process tree holds, where that can be told.
#[derive(Debug, Clone, Copy, Default)]
struct ServerMemory {
    bytes: Option<u64>,
    device_bytes: Option<u64>,
}

fn summarise(
    name: &InstanceName,
    snapshot: Option<&InstanceSnapshot>,
    configured: Option<&InstanceSpec>,
    memory: ServerMemory,
) -> InstanceSummary {
    let at_rest = InstanceState::Stopped { last_exit: None };
    let state = snapshot.map_or(&at_rest, |snapshot| &snapshot.state);
    let server = state.server();
    let running = snapshot.map(|snapshot| &*snapshot.spec);
    // What runs is shown as it was started; what does not, as it would be.
    let spec = if server.is_some() { running.or(configured) } else { configured.or(running) };
    let backend = spec.map_or(Backend::Cpu, |spec| spec.gpu.backend);
    InstanceSummary {
        name: name.clone(),
        pid: server.and_then(|server| server.identity.pid()),
        port: server.map(|server| server.address.port()).or_else(|| spec?.server.port.map(std::num::NonZeroU16::get)),
        runtime: spec.map(|spec| spec.runtime).unwrap_or_default(),
        backend,
        device: device(backend, spec.and_then(|spec| spec.gpu.device_id)),
        model: spec.map(|spec| spec.model.reference.short_name()).unwrap_or_default(),
        state: state.name().to_owned(),
        health: health(state),
        uptime_seconds: server.map(|server| server.started_at.elapsed_seconds()),
        memory_mb: memory.bytes.map(mebibytes),
        vram_mb: memory.device_bytes.map(mebibytes),
        restarts: snapshot.map_or(0, |snapshot| snapshot.restarts),
    }
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

fn device(backend: Backend, device_id: Option<u32>) -> String {
    match (backend, device_id) {
        (Backend::Cpu, _) => "cpu".to_owned(),
        (backend, None) => backend.as_str().to_owned(),
        (backend, Some(id)) => format!("{}:{id}", backend.as_str()),
    }
}

fn health(state: &InstanceState) -> Health {
    match state {
        InstanceState::Stopped { .. } | InstanceState::Stopping { .. } => Health::Unknown,
        InstanceState::Starting { .. } | InstanceState::Loading { .. } => Health::Loading,
        InstanceState::Ready { .. } => Health::Healthy,
        InstanceState::Unhealthy { .. } => Health::Unhealthy,
        InstanceState::Backoff { .. } | InstanceState::Failed { .. } => Health::Error,
    }
}

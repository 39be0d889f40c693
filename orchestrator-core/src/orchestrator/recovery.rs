//! The only way to start: look at what is remembered and at what really runs, and take it from there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::Orchestrator;
use crate::error::Problem;
use crate::event::{EventDraft, EventKind, Timestamp};
use crate::instance::driver::{self, Adopted, Beginning};
use crate::instance::{InstanceSpec, InstanceState, RunningServer};
use crate::launcher::DiscoveredWorkload;
use crate::names::InstanceName;
use crate::store::InstanceRecord;

/// How long the start of an owner waits for servers that were taken over; a healthy one answers within milliseconds.
const FIRST_ANSWERS: Duration = Duration::from_millis(150);

/// How far what is remembered can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// It is as it was left.
    Whole,
    /// Its newest changes are lost: what should run by it may have been stopped since.
    Stale,
}

impl Orchestrator {
    /// Takes over servers that run, starts those that should run and do not, and preloads what asks for it.
    pub(super) async fn recover(&self, memory: Memory) -> Result<(), Problem> {
        let services = &self.inner.services;
        self.inner.fleet.reload(services);
        self.recover_active().await?;
        let records = services.store.instances().await?;
        let mut discovered: BTreeMap<InstanceName, DiscoveredWorkload> = BTreeMap::new();
        match services.launcher.discover().await {
            Ok(found) => discovered.extend(found.into_iter().map(|found| (found.instance.clone(), found))),
            Err(error) => self.warn(None, format!("running processes could not be looked at: {error}")),
        }
        // Side by side: each of them looks at the processes and at its model.
        let remembered = records.into_iter().map(|record| {
            let found = discovered.remove(&record.name);
            self.recover_instance(record, found, memory)
        });
        try_join_all(remembered.collect::<Vec<_>>()).await?;
        // What runs and is not remembered: the database was lost, or we were killed between start and note.
        try_join_all(discovered.into_iter().map(|(name, found)| self.recover_unremembered(name, found))).await?;
        self.hold_for_predecessors();
        self.wait_for_adopted().await;
        self.undo_interrupted_switches().await;
        self.preload().await;
        Ok(())
    }

    async fn recover_instance(&self, record: InstanceRecord, found: Option<DiscoveredWorkload>, memory: Memory) -> Result<(), Problem> {
        // What runs is watched as it was started; what does not, as its file says now.
        let configured = self.inner.fleet.configured(&record.name).and_then(Result::ok);
        let remembered = record.spec.map(|spec| Arc::new(spec.with_secrets_of(configured.as_deref())));
        let is_remembered = record.server.is_some() && remembered.is_some();
        let spec = if record.server.is_some() { remembered.or(configured) } else { configured.or(remembered) };
        let Some(spec) = spec else {
            self.warn(Some(&record.name), format!("`{}` has no usable configuration any more; it is left alone", record.name));
            return Ok(());
        };
        // The note may be older than what runs: it could not be written, or the database was put back from a copy.
        let noted = record.server.clone().filter(|_| is_remembered);
        let candidates: Vec<_> = record.server.into_iter().chain(found.map(|found| self.as_server(&spec, found))).collect();
        let was_there = !candidates.is_empty();
        let beginning = match self.adopt_one(&record.name, candidates).await? {
            Some(adopted) => {
                let held = self.held_by(&spec, &adopted).await;
                let (wanted, restarts) = (record.wanted, record.restarts);
                // Nothing need be written of what is as it was noted.
                let stored = noted.filter(|noted| *noted == adopted.server).map(|server| {
                    let (name, spec) = (record.name.clone(), Some((*spec).clone()));
                    Box::new(InstanceRecord { name, wanted, spec, server: Some(server), restarts })
                });
                Beginning::Adopted { adopted, held, wanted, restarts, stored }
            }
            None if record.wanted && memory == Memory::Whole => Beginning::Lost { restarts: record.restarts },
            None if was_there || record.wanted => return self.forget_server(record.name, spec, record.restarts).await,
            None => return Ok(()),
        };
        self.begin(spec, beginning);
        Ok(())
    }

    async fn recover_unremembered(&self, name: InstanceName, found: DiscoveredWorkload) -> Result<(), Problem> {
        let Some(Ok(spec)) = self.inner.fleet.configured(&name) else {
            let identity = &found.identity;
            self.warn(Some(&name), format!("{identity} serves `{name}`, which has no usable configuration; it is left alone"));
            return Ok(());
        };
        let server = self.as_server(&spec, found);
        if let Some(adopted) = self.adopt_one(&name, vec![server]).await? {
            let held = self.held_by(&spec, &adopted).await;
            self.begin(spec, Beginning::Adopted { adopted, held, wanted: true, restarts: 0, stored: None });
        }
        Ok(())
    }

    fn as_server(&self, spec: &InstanceSpec, found: DiscoveredWorkload) -> RunningServer {
        let own_path = || self.inner.services.runtime(spec.runtime).map_or("/health", |runtime| runtime.health_path()).to_owned();
        let health_path = spec.healthcheck.path.clone().unwrap_or_else(own_path);
        RunningServer { identity: found.identity, address: found.address, started_at: Timestamp::now(), health_path }
    }

    /// Takes over the first of the servers that is still the one it was. When none is, what they left is ended.
    async fn adopt_one(&self, name: &InstanceName, candidates: Vec<RunningServer>) -> Result<Option<Adopted>, Problem> {
        let launcher = &self.inner.services.launcher;
        if candidates.is_empty() {
            return Ok(None);
        }
        for server in candidates {
            if let Some(workload) = launcher.adopt(name, &server.identity).await? {
                let message = format!("`{name}` still runs as {} on {} and was taken over", server.identity, server.address);
                self.inner.services.events.record(EventDraft::new(EventKind::InstanceAdopted, message).about(name));
                return Ok(Some(Adopted { workload, server }));
            }
        }
        launcher.end_leftovers(name).await?;
        Ok(None)
    }

    async fn forget_server(&self, name: InstanceName, spec: Arc<InstanceSpec>, restarts: u32) -> Result<(), Problem> {
        let record = InstanceRecord { name, wanted: false, spec: Some((*spec).clone()), server: None, restarts };
        Ok(self.inner.services.store.put_instance(record).await?)
    }

    /// Gives servers that were taken over a moment to answer, so that whoever asks first sees them as they are.
    async fn wait_for_adopted(&self) {
        let waiting = async {
            for (_, handle) in self.inner.fleet.handles() {
                let mut snapshot = handle.snapshot.clone();
                // Its task ends only at shutdown.
                let _ = snapshot.wait_for(|snapshot| !matches!(snapshot.state, InstanceState::Loading { .. })).await;
            }
        };
        if tokio::time::timeout(FIRST_ANSWERS, waiting).await.is_err() {
            tracing::info!("some servers that were taken over have not answered yet");
        }
    }

    fn begin(&self, spec: Arc<InstanceSpec>, beginning: Beginning) {
        let name = spec.name.clone();
        let handle = driver::spawn(&self.inner.services, spec, beginning);
        self.inner.fleet.insert(name, handle);
    }

    /// Starts what asks to be started with the daemon, by priority.
    async fn preload(&self) {
        let mut wanted: Vec<_> = self
            .inner
            .fleet
            .names()
            .into_iter()
            .filter_map(|name| self.inner.fleet.configured(&name)?.ok())
            .filter(|spec| spec.preload)
            .collect();
        wanted.sort_by_key(|spec| std::cmp::Reverse(spec.priority));
        for spec in wanted {
            if let Err(problem) = self.up(&spec.name).await {
                self.warn(Some(&spec.name), format!("`{}` could not be preloaded: {problem}", spec.name));
            }
        }
    }

    pub(super) fn warn(&self, instance: Option<&InstanceName>, message: String) {
        tracing::warn!("{message}");
        let draft = EventDraft::new(EventKind::Warning, message);
        self.inner.services.events.record(match instance {
            Some(instance) => draft.about(instance),
            None => draft,
        });
    }
}

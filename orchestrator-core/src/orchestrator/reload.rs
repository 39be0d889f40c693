//! Configurations that change while they are in use: noticed, checked, and taken over by those they concern.
//!
//! Files are looked at again and again, which works on every file system and with every way of saving a file. A change is
//! read when the file has stayed the same from one look to the next. A bad edit changes nothing and is told.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Orchestrator;
use crate::config::{DaemonConfig, load_daemon_config};
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind};
use crate::instance::driver::{Command, InstanceHandle};
use crate::instance::{InstanceSpec, InstanceState};
use crate::names::InstanceName;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(400);

/// What tells one version of a file from another.
type Version = (u64, Option<SystemTime>, u64);

/// The versions of all configuration files, by whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Versions {
    daemon: Option<Version>,
    instances: BTreeMap<InstanceName, BTreeMap<PathBuf, Version>>,
}

impl Versions {
    fn look(daemon: &Path, instances: &Path) -> Self {
        let mut versions = Self { daemon: version_of(daemon), instances: BTreeMap::new() };
        for folder in std::fs::read_dir(instances).into_iter().flatten().flatten() {
            let Some(name) = folder.file_name().to_str().and_then(|name| InstanceName::try_new(name).ok()) else { continue };
            let files = std::fs::read_dir(folder.path()).into_iter().flatten().flatten().map(|file| file.path());
            let files = files.filter_map(|file| Some((file.clone(), version_of(&file)?)));
            versions.instances.insert(name, files.collect());
        }
        versions
    }

    /// Returns the instances whose files differ.
    fn changed_since(&self, before: &Self) -> Vec<InstanceName> {
        let names = self.instances.keys().chain(before.instances.keys());
        let mut changed: Vec<_> = names.filter(|name| self.instances.get(*name) != before.instances.get(*name)).cloned().collect();
        changed.sort();
        changed.dedup();
        changed
    }
}

fn version_of(file: &Path) -> Option<Version> {
    let metadata = std::fs::metadata(file).ok()?;
    metadata.is_file().then(|| (metadata.len(), metadata.modified().ok(), metadata.ino()))
}

impl Orchestrator {
    /// Begins to look at the configuration files again and again.
    pub(super) fn begin_watching_files(&self) {
        let (watcher, shutdown) = (self.clone(), self.inner.services.shutdown.clone());
        self.inner.services.tasks.spawn(async move { shutdown.run_until_cancelled(watcher.watch_files()).await });
    }

    async fn watch_files(self) {
        let mut taken_over = self.look_at_files().await;
        let mut seen = taken_over.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.look_at_files().await;
            if now == seen && now != taken_over {
                if now.daemon != taken_over.daemon {
                    self.take_over_daemon_config().await;
                }
                let changed = now.changed_since(&taken_over);
                if !changed.is_empty() {
                    self.inner.fleet.reload(&self.inner.services);
                }
                for name in changed {
                    self.take_over(&name).await;
                }
                taken_over = now.clone();
            }
            seen = now;
        }
    }

    async fn look_at_files(&self) -> Versions {
        let (daemon, instances) = (self.paths().config_file(), self.paths().instances_dir());
        tokio::task::spawn_blocking(move || Versions::look(&daemon, &instances)).await.unwrap_or_default()
    }

    /// Takes over the changed configuration of one instance, as far as it has a task already.
    async fn take_over(&self, name: &InstanceName) {
        let Some(handle) = self.inner.fleet.handle(name) else { return };
        let is_running = handle.snapshot.borrow().state.server().is_some();
        match self.inner.fleet.configured(name) {
            Some(Ok(spec)) => self.take_over_spec(name, &handle, spec).await,
            Some(Err(problem)) if is_running => {
                self.warn(
                    Some(name),
                    format!("the configuration of `{name}` was changed and cannot be used; it goes on as it was: {problem}"),
                );
            }
            None if is_running => {
                self.warn(Some(name), format!("the configuration of `{name}` is gone; it goes on until `orch down {name}`"));
            }
            Some(Err(_)) | None => {}
        }
    }

    async fn take_over_spec(&self, name: &InstanceName, handle: &InstanceHandle, spec: Arc<InstanceSpec>) {
        let snapshot = handle.snapshot.borrow().clone();
        if *snapshot.spec == *spec {
            return;
        }
        let is_running =
            !matches!(snapshot.state, InstanceState::Stopped { .. } | InstanceState::Failed { .. } | InstanceState::Backoff { .. });
        if !is_running || !spec.needs_restart_after(&snapshot.spec) {
            // It fails only when the daemon goes.
            let _ = handle.send(Command::Configure { spec }).await;
            self.note(name, format!("the changed configuration of `{name}` was taken over"));
            return;
        }
        self.note(name, format!("the configuration of `{name}` was changed: its server is replaced when its requests are done"));
        let (orchestrator, name, shutdown) = (self.clone(), name.clone(), self.inner.services.shutdown.clone());
        self.inner.services.tasks.spawn(async move {
            shutdown.run_until_cancelled(orchestrator.replace_drained(&name)).await;
        });
    }

    /// Restarts an instance when it has no request in flight, or when that takes too long.
    async fn replace_drained(&self, name: &InstanceName) {
        let Some(handle) = self.inner.fleet.handle(name) else { return };
        let scheduler = &self.inner.services.scheduler;
        let hold = scheduler.hold(vec![handle.member]);
        let cut = self.drain(&handle).await;
        if cut > 0 {
            self.warn(Some(name), format!("{cut} requests of `{name}` are cut: they were not done within `limits.drain`"));
        }
        if let Err(problem) = self.restart(name).await {
            self.warn(Some(name), format!("`{name}` could not be replaced: {problem}"));
        }
        drop(hold);
    }

    /// Waits until an instance that is held has no request in flight, up to the limit; returns how many are left.
    pub(super) async fn drain(&self, handle: &InstanceHandle) -> u32 {
        let scheduler = &self.inner.services.scheduler;
        let limit = scheduler.limits().drain.get();
        if tokio::time::timeout(limit, scheduler.drained(handle.member)).await.is_ok() {
            return 0;
        }
        scheduler.view(handle.member).map_or(0, |view| view.in_flight)
    }

    async fn take_over_daemon_config(&self) {
        let config = match self.read_daemon_config().await {
            Ok(config) => config,
            Err(problem) => {
                self.warn(None, format!("`config.yaml` was changed and cannot be used; everything goes on as it was: {problem}"));
                return;
            }
        };
        let services = &self.inner.services;
        services.scheduler.configure(&config.limits, &services.hardware.probe().await);
        for (_, handle) in self.inner.fleet.handles() {
            services.scheduler.configure_member(handle.member, &handle.snapshot.borrow().spec);
        }
        let DaemonConfig { gateway, first_instance_port, limits, models, log } = &services.config;
        let is_for_next_start = (gateway, first_instance_port, log) != (&config.gateway, &config.first_instance_port, &config.log)
            || *models != config.models
            || (limits.max_body_mb, limits.first_byte) != (config.limits.max_body_mb, config.limits.first_byte)
            || limits.memory_warning_percent != config.limits.memory_warning_percent;
        let rest = if is_for_next_start { "; some of it needs a new start of the daemon: `orch daemon restart`" } else { "" };
        services.events.record(EventDraft::new(EventKind::Daemon, format!("the changed `config.yaml` was taken over{rest}")));
    }

    async fn read_daemon_config(&self) -> Result<DaemonConfig, Problem> {
        let file = self.paths().config_file();
        let read = tokio::task::spawn_blocking(move || load_daemon_config(&file)).await;
        read.map_err(|error| Problem::new(ErrorCode::Internal, "it could not be read").with_cause(error.to_string()))?
            .map_err(Problem::from)
    }

    fn note(&self, name: &InstanceName, message: String) {
        self.inner.services.events.record(EventDraft::new(EventKind::InstanceState, message).about(name));
    }
}

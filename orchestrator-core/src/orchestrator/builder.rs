//! Puts an [`Orchestrator`] together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fleet::Fleet;
use super::models::{ManifestWriter, PullDesk};
use super::owner_lock::OwnerLock;
use super::predecessors::Predecessors;
use super::recovery::Memory;
use super::{Inner, Orchestrator, Services};
use crate::config::DaemonConfig;
use crate::env::EnvRegistry;
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind};
use crate::event_log::EventLog;
use crate::hardware::HardwareProbe;
use crate::instance::ports::PortBook;
use crate::launcher::Launcher;
use crate::memory_watch::MemoryWatch;
use crate::operation::registry::OperationRegistry;
use crate::paths::Paths;
use crate::process::LocalLauncher;
use crate::provider::{Provider, ProviderKind};
use crate::runtime::{Runtime, RuntimeKind};
use crate::scheduler::{Order, Scheduler};
use crate::store::StateStore;
use crate::store::sqlite::{OpenOutcome, SqliteStore};

/// Collects the parts of an [`Orchestrator`].
pub struct OrchestratorBuilder {
    paths: Paths,
    config: DaemonConfig,
    runtimes: BTreeMap<RuntimeKind, Arc<dyn Runtime>>,
    providers: BTreeMap<ProviderKind, Arc<dyn Provider>>,
    environments: Option<Arc<dyn EnvRegistry>>,
    launcher: Option<Arc<dyn Launcher>>,
    hardware: Option<Arc<dyn HardwareProbe>>,
    lock: Option<OwnerLock>,
}

impl OrchestratorBuilder {
    pub(super) fn new(paths: Paths) -> Self {
        Self {
            paths,
            config: DaemonConfig::default(),
            runtimes: BTreeMap::new(),
            providers: BTreeMap::new(),
            environments: None,
            launcher: None,
            hardware: None,
            lock: None,
        }
    }

    /// Returns where everything will live.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Sets the daemon's configuration.
    #[must_use]
    pub fn config(mut self, config: DaemonConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds a runtime, in place of one of the same kind.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtimes.insert(runtime.kind(), runtime);
        self
    }

    /// Adds a provider, in place of one of the same kind.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn Provider>) -> Self {
        self.providers.insert(provider.kind(), provider);
        self
    }

    /// Sets who builds and keeps environments.
    #[must_use]
    pub fn environments(mut self, environments: Arc<dyn EnvRegistry>) -> Self {
        self.environments = Some(environments);
        self
    }

    /// Sets who starts servers; processes of this machine, when it is left out.
    #[must_use]
    pub fn launcher(mut self, launcher: Arc<dyn Launcher>) -> Self {
        self.launcher = Some(launcher);
        self
    }

    /// Sets who looks at the machine.
    #[must_use]
    pub fn hardware(mut self, hardware: Arc<dyn HardwareProbe>) -> Self {
        self.hardware = Some(hardware);
        self
    }

    /// Sets the lock of the home, which its owner hands over. Without it the home must be nobody's.
    #[must_use]
    pub fn lock(mut self, lock: OwnerLock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Takes the home, opens its state and recovers what runs in it. This is the only way to start, after an orderly
    /// end as after a crash.
    ///
    /// # Errors
    /// Fails with `daemon.home_owned` when another process owns the home, and when the home or its database cannot
    /// be used.
    pub async fn open(self) -> Result<Orchestrator, Problem> {
        let missing = |what: &str| Problem::new(ErrorCode::Internal, format!("an orchestrator needs {what}"));
        let environments = self.environments.ok_or_else(|| missing("an environment registry"))?;
        let hardware = self.hardware.ok_or_else(|| missing("a hardware probe"))?;
        let lock = match self.lock {
            Some(lock) => lock.confirm(&self.paths)?,
            None => OwnerLock::take(&self.paths)?,
        };
        let database = self.paths.database();
        let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&database)).await;
        let (store, outcome) = opened.map_err(|error| missing("a state store").with_cause(error.to_string()))??;
        let store: Arc<dyn StateStore> = Arc::new(store);
        let (event_log_task, event_log_end) = (TaskTracker::new(), CancellationToken::new());
        let launcher = self.launcher.unwrap_or_else(|| Arc::new(LocalLauncher::of_home(&self.paths)));
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let events = EventLog::start(store.clone(), &event_log_task, event_log_end.clone());
        let warning_percent = self.config.limits.memory_warning_percent;
        let memory = MemoryWatch::start(hardware.clone(), events.clone(), warning_percent, &tasks, shutdown.clone());
        let (scheduler, orders) = Scheduler::new(&self.config.limits);
        let manifest_file = self.paths.models_dir().join("manifest.json");
        let services = Arc::new(Services {
            manifest: ManifestWriter::start(store.clone(), manifest_file, &tasks, shutdown.clone()),
            pulls: PullDesk::new(&self.config.models),
            scheduler,
            runtimes: self.runtimes,
            providers: self.providers,
            environments,
            launcher,
            hardware,
            memory,
            events,
            store,
            ports: Arc::new(PortBook::default()),
            predecessors: Predecessors::of_home(&self.paths),
            tasks,
            shutdown,
            config: self.config,
            paths: self.paths,
        });
        let operations = OperationRegistry::new(services.store.clone(), services.events.clone(), services.tasks.clone());
        let orchestrator = Orchestrator {
            inner: Arc::new(Inner {
                services,
                fleet: Fleet::default(),
                operations,
                event_log_task,
                event_log_end,
                lock: Mutex::new(Some(lock)),
            }),
        };
        orchestrator.begin_life(outcome, orders).await?;
        Ok(orchestrator)
    }
}

impl Orchestrator {
    async fn begin_life(&self, outcome: OpenOutcome, orders: mpsc::UnboundedReceiver<Order>) -> Result<(), Problem> {
        let events = &self.inner.services.events;
        events.record(EventDraft::new(EventKind::Daemon, format!("process {} owns this home", std::process::id())));
        let is_behind = matches!(outcome, OpenOutcome::Behind { .. });
        if let OpenOutcome::Behind { missing } = outcome {
            self.warn(
                None,
                format!("the newest changes of the state database are lost ({missing} commits): what runs is taken over, and nothing is started that was not running"),
            );
        }
        if let OpenOutcome::Rebuilt { quarantined, reason } = outcome {
            let kept = quarantined.display();
            self.warn(None, format!("the state database was unreadable ({reason}); it was kept as `{kept}` and begun anew"));
        }
        self.begin_scheduling(orders).await;
        self.recover(if is_behind { Memory::Stale } else { Memory::Whole }).await?;
        self.recover_operations().await?;
        self.begin_watching_files();
        Ok(())
    }
}

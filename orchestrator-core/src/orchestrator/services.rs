//! What instances' tasks need of the world: the traits' implementations, the store, events and ports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::models::{ManifestWriter, PullDesk};
use super::predecessors::Predecessors;
use crate::config::DaemonConfig;
use crate::env::EnvRegistry;
use crate::error::{ErrorCode, Problem};
use crate::event_log::EventLog;
use crate::hardware::HardwareProbe;
use crate::instance::InstanceSpec;
use crate::instance::ports::PortBook;
use crate::launcher::{Launcher, OutputFiles};
use crate::memory_watch::MemoryWatch;
use crate::model::{InstalledModel, ModelReference};
use crate::paths::Paths;
use crate::provider::{Provider, ProviderKind};
use crate::runtime::{Runtime, RuntimeKind};
use crate::scheduler::Scheduler;
use crate::store::StateStore;

/// Shared by everything inside one [`super::Orchestrator`].
pub(crate) struct Services {
    pub(crate) paths: Paths,
    pub(crate) config: DaemonConfig,
    pub(crate) runtimes: BTreeMap<RuntimeKind, Arc<dyn Runtime>>,
    pub(crate) providers: BTreeMap<ProviderKind, Arc<dyn Provider>>,
    pub(crate) environments: Arc<dyn EnvRegistry>,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) hardware: Arc<dyn HardwareProbe>,
    /// How full the machine is.
    pub(crate) memory: MemoryWatch,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) events: EventLog,
    pub(crate) ports: Arc<PortBook>,
    /// What earlier owners of this home still answer.
    pub(crate) predecessors: Predecessors,
    pub(crate) scheduler: Arc<Scheduler>,
    /// Whose turn it is to fetch a model.
    pub(crate) pulls: PullDesk,
    /// Who writes down what is installed.
    pub(crate) manifest: ManifestWriter,
    /// Every task we start.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the owner of this home goes.
    pub(crate) shutdown: CancellationToken,
}

impl Services {
    /// Returns the runtime of a kind.
    pub(crate) fn runtime(&self, kind: RuntimeKind) -> Result<&Arc<dyn Runtime>, Problem> {
        self.runtimes.get(&kind).ok_or_else(|| {
            let problem = Problem::new(ErrorCode::EngineNotFound, format!("the runtime `{}` is not available", kind.as_str()));
            problem.with_hint("this build leaves it out; use another `runtime`")
        })
    }

    /// Returns a provider.
    pub(crate) fn provider(&self, kind: ProviderKind) -> Result<&Arc<dyn Provider>, Problem> {
        self.providers.get(&kind).ok_or_else(|| {
            let problem = Problem::new(ErrorCode::ProviderUnavailable, format!("the provider `{}` is not available", kind.as_str()));
            problem.with_hint("this build leaves it out; use a model on this machine: `file:/path/model.gguf`")
        })
    }

    /// Returns the provider that a model belongs to.
    pub(crate) fn provider_of(&self, reference: &ModelReference) -> Result<&Arc<dyn Provider>, Problem> {
        self.provider(ProviderKind::of(reference))
    }

    /// Looks at a model on this machine. What only its source knows is taken from when it was installed.
    pub(crate) async fn resolve_model(&self, reference: &ModelReference) -> Result<InstalledModel, Problem> {
        let mut model = self.provider_of(reference)?.locate(reference).await?;
        if ProviderKind::of(reference) == ProviderKind::Local {
            return Ok(model);
        }
        let remembered = self.store.models().await?.into_iter().map(|record| record.model);
        let same = |other: &InstalledModel| other.reference == *reference && other.path == model.path;
        if let Some(remembered) = remembered.into_iter().find(same) {
            model.licence = model.licence.or(remembered.licence);
            model.files = if model.size_bytes == remembered.size_bytes { remembered.files } else { model.files };
        }
        Ok(model)
    }

    /// Returns where the output of an instance's server goes.
    pub(crate) fn output_files(&self, spec: &InstanceSpec) -> OutputFiles {
        let OutputFiles { stdout, stderr } = OutputFiles::in_folder(&self.paths.instance_logs_dir(&spec.name));
        OutputFiles { stdout: stdout.filter(|_| spec.logs.stdout), stderr: stderr.filter(|_| spec.logs.stderr) }
    }

    /// Returns where the error output of an instance's server goes.
    pub(crate) fn stderr_log(&self, spec: &InstanceSpec) -> Option<PathBuf> {
        self.output_files(spec).stderr
    }

    /// Returns a number in 0..1 that spreads waits; nothing secret depends on it.
    #[expect(clippy::unused_self, reason = "a simulation will bring its own")]
    pub(crate) fn jitter(&self) -> f64 {
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        f64::from(nanoseconds % 1_000_000) / 1_000_000.0
    }
}

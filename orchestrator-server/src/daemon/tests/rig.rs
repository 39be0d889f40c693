//! A home of its own, a core with stand-ins for everything outside, and a daemon that serves it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use orchestrator_core::config::DaemonConfig;
use orchestrator_core::env::{EnvError, EnvRegistry, Environment, EnvironmentReport, EnvironmentStatus};
use orchestrator_core::event::Timestamp;
use orchestrator_core::hardware::{Hardware, HardwareProbe};
use orchestrator_core::instance::{ExitCause, InstanceSpec};
use orchestrator_core::model::{InstalledModel, ModelDefaults, ModelFormat, ModelReference};
use orchestrator_core::operation::{Progress, ProgressUpdate};
use orchestrator_core::orchestrator::ShutdownMode;
use orchestrator_core::provider::{Provider, ProviderError, ProviderKind};
use orchestrator_core::runtime::{Engine, PlanRequest, Runtime, RuntimeCapabilities, RuntimeError, RuntimeKind};
use orchestrator_core::{EnvKey, InstanceName, LaunchPlan, Orchestrator, OrchestratorBuilder, Paths};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::super::{Daemon, DaemonError, DaemonOptions, Inheritance, Reopen, Succession, take_over};
use super::hub::Hub;
use crate::Client;

/// Everything a test needs ends within this.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Runs `engine.py`.
struct PythonEngine;

#[async_trait]
impl Runtime for PythonEngine {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::LlamaCpp
    }

    fn capabilities(&self) -> RuntimeCapabilities {
        RuntimeCapabilities { json_schema: false, native_tools: false, embeddings: false }
    }

    fn environment_key(&self, _: &InstanceSpec) -> Option<EnvKey> {
        None
    }

    async fn find_engine(&self, _: &InstanceSpec, _: &dyn EnvRegistry) -> Result<Engine, RuntimeError> {
        Ok(Engine::Binary { path: PathBuf::from("/usr/bin/env") })
    }

    fn health_path(&self) -> &'static str {
        "/health"
    }

    fn plan(&self, request: &PlanRequest<'_>) -> Result<LaunchPlan, RuntimeError> {
        let script = include_str!("engine.py").to_owned();
        let (host, port) = (request.listen.ip().to_string(), request.listen.port().to_string());
        Ok(LaunchPlan {
            program: PathBuf::from("/usr/bin/env"),
            arguments: vec!["python3".to_owned(), "-c".to_owned(), script, host, port],
            variables: BTreeMap::new(),
            removed_prefixes: Vec::new(),
            listen: request.listen,
            health_path: "/health".to_owned(),
        })
    }

    fn explain_exit(&self, stderr_tail: &[String]) -> Option<ExitCause> {
        stderr_tail.iter().any(|line| line.contains("Address already in use")).then_some(ExitCause::PortTaken)
    }
}

/// Has every model.
struct AnyModel;

pub(super) fn model(reference: &ModelReference) -> InstalledModel {
    InstalledModel {
        reference: reference.clone(),
        path: reference.as_file().unwrap_or(Path::new("/")).to_path_buf(),
        format: ModelFormat::Gguf,
        name: None,
        architecture: "none".to_owned(),
        quantisation: None,
        context_length: None,
        parameters: 0,
        size_bytes: 0,
        has_chat_template: false,
        files: Vec::new(),
        revision: None,
        licence: None,
        projector: None,
        defaults: ModelDefaults::default(),
    }
}

#[async_trait]
impl Provider for AnyModel {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
        Ok(model(reference))
    }

    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError> {
        Ok(Vec::new())
    }
}

/// Has one recipe, which is built in two steps.
struct OneRecipe;

pub(super) fn recipe() -> EnvKey {
    EnvKey::try_new("test-env").unwrap()
}

#[async_trait]
impl EnvRegistry for OneRecipe {
    async fn list(&self) -> Result<Vec<EnvironmentStatus>, EnvError> {
        Ok(vec![EnvironmentStatus { key: recipe(), description: "for tests".to_owned(), installed: None, problem: None, outdated: false }])
    }

    async fn find(&self, key: &EnvKey) -> Result<Environment, EnvError> {
        Err(EnvError::NotInstalled { key: key.clone() })
    }

    async fn create(&self, key: &EnvKey, progress: &dyn Progress, _: &CancellationToken) -> Result<Environment, EnvError> {
        progress.update(ProgressUpdate { phase: "building".to_owned(), done: Some(1), total: Some(2), ..ProgressUpdate::default() });
        let path = PathBuf::from("/nowhere");
        Ok(Environment {
            key: key.clone(),
            digest: "0".to_owned(),
            python: path.clone(),
            launcher: path.clone(),
            path,
            engine_version: "1".to_owned(),
            created_at: Timestamp::now(),
            size_bytes: 0,
        })
    }

    async fn test(&self, key: &EnvKey) -> Result<EnvironmentReport, EnvError> {
        Err(EnvError::NotInstalled { key: key.clone() })
    }

    async fn remove(&self, _: &EnvKey) -> Result<(), EnvError> {
        Ok(())
    }
}

struct NoHardware;

#[async_trait]
impl HardwareProbe for NoHardware {
    async fn probe(&self) -> Hardware {
        Hardware { cpu_count: 3, memory_total_bytes: 2, memory_available_bytes: 1, ..Hardware::default() }
    }
}

fn builder(paths: Paths, config: DaemonConfig) -> OrchestratorBuilder {
    let hub = Hub { store: paths.models_dir() };
    Orchestrator::builder(paths)
        .config(config)
        .provider(Arc::new(hub))
        .runtime(Arc::new(PythonEngine))
        .provider(Arc::new(AnyModel))
        .environments(Arc::new(OneRecipe))
        .hardware(Arc::new(NoHardware))
}

fn options() -> DaemonOptions {
    DaemonOptions { drain: Duration::from_secs(1), ..DaemonOptions::default() }
}

/// A folder that goes with the test.
pub(super) struct Home {
    _folder: tempfile::TempDir,
    pub(super) paths: Paths,
}

impl Home {
    pub(super) fn new() -> Self {
        Self::below("")
    }

    /// A home with more folders above it.
    pub(super) fn below(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(&folder.path().join(more));
        Self { _folder: folder, paths }
    }

    /// Configures an instance.
    pub(super) fn instance(&self, name: &str) -> InstanceName {
        let name = InstanceName::try_new(name).unwrap();
        let folder = self.paths.instance_dir(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let config = format!(r#"{{"name":"{name}","model":{{"path":"/m/{name}.gguf"}},"aliases":["{name}-alias"]}}"#);
        std::fs::write(folder.join("config.json"), config).unwrap();
        name
    }

    pub(super) async fn open(&self, config: DaemonConfig) -> Orchestrator {
        self.builder(config).open().await.unwrap()
    }

    pub(super) fn builder(&self, config: DaemonConfig) -> OrchestratorBuilder {
        builder(self.paths.clone(), config)
    }

    /// Serves this home on a free port.
    pub(super) async fn serve(&self) -> Served {
        self.serve_with(|_| {}).await.unwrap()
    }

    /// Serves this home for clients that are quick.
    pub(super) async fn serve_the_quick(&self) -> Served {
        self.serve_as(DaemonOptions { head_timeout: Duration::from_millis(300), ..options() }, |_| {}).await.unwrap()
    }

    pub(super) async fn serve_with(&self, change: impl FnOnce(&mut DaemonConfig)) -> Result<Served, DaemonError> {
        self.serve_as(options(), change).await
    }

    async fn serve_as(&self, options: DaemonOptions, change: impl FnOnce(&mut DaemonConfig)) -> Result<Served, DaemonError> {
        let mut config = DaemonConfig::default();
        config.gateway.port = Some(0);
        change(&mut config);
        let paths = self.paths.clone();
        let again = config.clone();
        let reopen: Reopen = Arc::new(move |lock| Box::pin(builder(paths.clone(), again.clone()).lock(lock).open()));
        let succession = Succession { estate: None, reopen: Some(reopen) };
        Ok(self.served(Daemon::succeed(self.open(config).await, options, succession).await?))
    }

    /// Serves this home in the place of the daemon that serves it now.
    pub(super) async fn succeed(&self) -> Served {
        let mut config = DaemonConfig::default();
        config.gateway.port = Some(0);
        let Inheritance { lock, estate } = take_over(&self.paths).await.unwrap().unwrap();
        let orchestrator = self.builder(config).lock(lock).open().await.unwrap();
        let succession = Succession { estate: Some(estate), reopen: None };
        self.served(Daemon::succeed(orchestrator, options(), succession).await.unwrap())
    }

    fn served(&self, daemon: Daemon) -> Served {
        let http = Client::http(daemon.endpoint(), None).unwrap();
        Served { client: Client::unix(self.paths.socket()), http, daemon }
    }
}

/// A daemon and its clients.
pub(super) struct Served {
    pub(super) client: Client,
    pub(super) http: Client,
    pub(super) daemon: Daemon,
}

impl Served {
    pub(super) async fn end(self) {
        let problems = tokio::time::timeout(SOON, self.daemon.shutdown(ShutdownMode::StopAll)).await.unwrap();
        assert!(problems.is_empty(), "{problems:?}");
    }

    /// Opens a connection to the TCP port.
    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.daemon.endpoint().strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// Sends a request by hand and returns the whole answer.
    pub(super) async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }
}

/// Waits until something is so.
pub(super) async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} did not come to be");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

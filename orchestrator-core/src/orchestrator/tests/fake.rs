//! A home with a runtime whose engine is a few lines of Python, and a provider that believes in every model.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::env::{EnvError, EnvRegistry, Environment, EnvironmentReport, EnvironmentStatus};
use crate::hardware::{Device, DeviceUse, Hardware, HardwareProbe};
use crate::instance::spec::Backend;
use crate::instance::{ExitCause, InstanceSpec};
use crate::launcher::LaunchPlan;
use crate::model::{InstalledModel, ModelDefaults, ModelFormat, ModelReference};
use crate::names::{EnvKey, InstanceName};
use crate::operation::Progress;
use crate::orchestrator::{Orchestrator, OrchestratorBuilder};
use crate::paths::Paths;
use crate::provider::{Provider, ProviderError, ProviderKind};
use crate::runtime::{Engine, PlanRequest, Runtime, RuntimeCapabilities, RuntimeError, RuntimeKind};

/// Behaves as its first argument says; its second one is the port.
const ENGINE: &str = r#"
import http.server, os, sys, time
behaviour, port = sys.argv[1], int(sys.argv[2])
marker = os.path.join(os.environ["ORCH_OWNER"], "unlucky")
print("started", flush=True)
if behaviour == "unlucky" and not os.path.exists(marker):
    open(marker, "w").close()
    raise OSError("Address already in use")
if behaviour == "dies":
    print("I cannot go on", file=sys.stderr)
    sys.exit(3)
begun, answers = time.monotonic(), 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global answers
        loading = behaviour == "never" or (behaviour == "slow" and time.monotonic() - begun < 0.4)
        lying = behaviour == "liar" and answers >= 1
        answers += 1
        unknown = behaviour == "pathless" and self.path != "/v1/models"
        self.send_response(404 if unknown else 503 if loading else 500 if lying else 200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

/// An empty home.
pub(super) struct Home(tempfile::TempDir);

impl Home {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn paths(&self) -> Paths {
        Paths::in_home(self.0.path())
    }

    /// Writes the configuration of an instance; its model's name is the behaviour of its engine.
    pub(super) fn instance(&self, name: &str, behaviour: &str, more: &str) {
        let folder = self.paths().instance_dir(&InstanceName::try_new(name).unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!("name: {name}\nmodel: {{ref: 'file:/models/{behaviour}'}}\n{more}\n");
        std::fs::write(folder.join("config.yaml"), text).unwrap();
    }

    /// Returns how many times the engine of an instance was started.
    pub(super) fn starts(&self, name: &str) -> usize {
        let folder = self.paths().instance_logs_dir(&InstanceName::try_new(name).unwrap());
        std::fs::read_to_string(folder.join("stdout.log")).unwrap().lines().count()
    }

    pub(super) fn builder(&self) -> OrchestratorBuilder {
        Orchestrator::builder(self.paths())
            .runtime(Arc::new(FakeWorld))
            .provider(Arc::new(FakeWorld))
            .environments(Arc::new(FakeWorld))
            .hardware(Arc::new(FakeWorld))
    }

    pub(super) async fn open(&self) -> Orchestrator {
        self.builder().open().await.unwrap()
    }
}

struct FakeWorld;

#[async_trait]
impl Runtime for FakeWorld {
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
        Ok(Engine::Binary { path: PathBuf::from("python3") })
    }

    fn health_path(&self) -> &'static str {
        "/health"
    }

    fn plan(&self, request: &PlanRequest<'_>) -> Result<LaunchPlan, RuntimeError> {
        let behaviour = request.model.reference.short_name();
        Ok(LaunchPlan {
            program: PathBuf::from("python3"),
            arguments: ["-c", ENGINE, &behaviour, &request.listen.port().to_string()].map(str::to_owned).to_vec(),
            variables: std::collections::BTreeMap::new(),
            removed_prefixes: Vec::new(),
            listen: request.listen,
            health_path: self.health_path().to_owned(),
        })
    }

    fn explain_exit(&self, stderr_tail: &[String]) -> Option<ExitCause> {
        stderr_tail.iter().any(|line| line.contains("Address already in use")).then_some(ExitCause::PortTaken)
    }
}

#[async_trait]
impl Provider for FakeWorld {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
        Ok(InstalledModel {
            reference: reference.clone(),
            path: reference.as_file().unwrap().to_path_buf(),
            format: ModelFormat::Gguf,
            name: None,
            architecture: "llama".to_owned(),
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
        })
    }

    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl EnvRegistry for FakeWorld {
    async fn list(&self) -> Result<Vec<EnvironmentStatus>, EnvError> {
        Ok(Vec::new())
    }

    async fn find(&self, key: &EnvKey) -> Result<Environment, EnvError> {
        Err(EnvError::NotInstalled { key: key.clone() })
    }

    async fn create(&self, key: &EnvKey, _: &dyn Progress, _: &CancellationToken) -> Result<Environment, EnvError> {
        Err(EnvError::NotInstalled { key: key.clone() })
    }

    async fn test(&self, key: &EnvKey) -> Result<EnvironmentReport, EnvError> {
        Err(EnvError::NotInstalled { key: key.clone() })
    }

    async fn remove(&self, key: &EnvKey) -> Result<(), EnvError> {
        Err(EnvError::NotInstalled { key: key.clone() })
    }
}

#[async_trait]
impl HardwareProbe for FakeWorld {
    async fn probe(&self) -> Hardware {
        Hardware { cpu_count: 1, ..Hardware::default() }
    }
}

/// A machine with a GPU that tells what its processes hold, and has free what they leave.
#[derive(Debug)]
pub(super) struct FakeGpu {
    size: u64,
    held: Mutex<Vec<DeviceUse>>,
    /// Other GPUs of the machine, which tell nothing.
    others: Vec<Device>,
    /// Whether its driver has not answered yet.
    is_late: AtomicBool,
}

impl FakeGpu {
    pub(super) fn new(size: u64) -> Arc<Self> {
        Self::beside(size, Vec::new())
    }

    pub(super) fn beside(size: u64, others: Vec<Device>) -> Arc<Self> {
        Arc::new(Self { size, held: Mutex::default(), others, is_late: AtomicBool::new(false) })
    }

    /// Says whether its driver answers.
    pub(super) fn set_late(&self, is_late: bool) {
        self.is_late.store(is_late, Ordering::SeqCst);
    }

    fn free(&self) -> u64 {
        self.size.saturating_sub(self.held.lock().unwrap().iter().map(|held| held.memory_bytes).sum())
    }

    /// From now on this process holds so much.
    pub(super) fn hold(&self, pid: u32, memory_bytes: u64) {
        self.held.lock().unwrap().push(DeviceUse { backend: Backend::Cuda, index: 0, pid, memory_bytes });
    }
}

#[async_trait]
impl HardwareProbe for FakeGpu {
    async fn probe(&self) -> Hardware {
        let device = Device { memory_free_bytes: Some(self.free()), ..Device::new(Backend::Cuda, 0, "fake", self.size) };
        let own = (!self.is_late.load(Ordering::SeqCst)).then_some(device);
        let devices = own.into_iter().chain(self.others.iter().cloned()).collect();
        Hardware { cpu_count: 1, devices, ..Hardware::default() }
    }

    async fn device_uses(&self) -> Vec<DeviceUse> {
        self.held.lock().unwrap().clone()
    }
}

//! A home with a runtime whose engine is a few lines of Python, and a provider that believes in every model.

use std::path::PathBuf;
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
        Hardware { cpu_name: None, cpu_count: 1, memory_total_bytes: 0, memory_available_bytes: 0, devices: Vec::new() }
    }
}

/// A machine with a GPU that is full, and that tells what its processes hold.
#[derive(Debug, Default)]
pub(super) struct FakeGpu(Mutex<Vec<DeviceUse>>);

impl FakeGpu {
    /// From now on this process holds so much.
    pub(super) fn hold(&self, pid: u32, memory_bytes: u64) {
        self.0.lock().unwrap().push(DeviceUse { backend: Backend::Cuda, index: 0, pid, memory_bytes });
    }
}

#[async_trait]
impl HardwareProbe for FakeGpu {
    async fn probe(&self) -> Hardware {
        let device =
            Device { backend: Backend::Cuda, index: 0, name: "fake".to_owned(), memory_total_bytes: 8 << 20, memory_free_bytes: 0 };
        Hardware { cpu_name: None, cpu_count: 1, memory_total_bytes: 0, memory_available_bytes: 0, devices: vec![device] }
    }

    async fn device_uses(&self) -> Vec<DeviceUse> {
        self.0.lock().unwrap().clone()
    }
}

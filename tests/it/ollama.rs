//! Models of the Ollama library: from a fake registry, through a fake running Ollama, and with a fake command line.

mod catalogue;
mod daemon;
mod registry;
mod spoiled;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_core::model::{InstalledModel, ModelReference, PullPlan};
use orchestrator_core::operation::{Progress, ProgressUpdate};
use orchestrator_core::provider::{ProviderError, PullWatch};
use orchestrator_core::{Paths, Provider};
use orchestrator_providers::{DownloadSettings, OllamaModels, OllamaSettings, ProviderSettings};
use orchestrator_tests::hub::{LibraryModel, RunningHub, World};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// An address at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";
const TEMPLATE: &str = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}";

/// A home, a registry, and a provider between them.
struct Rig {
    hub: RunningHub,
    folder: tempfile::TempDir,
    settings: ProviderSettings,
    runtime: Runtime,
}

/// Remembers what it was told.
#[derive(Default)]
struct Told(Mutex<Vec<ProgressUpdate>>);

impl Progress for Told {
    fn update(&self, update: ProgressUpdate) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(update);
    }
}

impl Told {
    fn phases(&self) -> String {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().map(|update| update.phase.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn last_done(&self) -> (Option<u64>, Option<u64>) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.last().map_or((None, None), |update| (update.done, update.total))
    }
}

impl Rig {
    /// Makes a rig whose registry has a model `demo:tiny` with all that belongs to one. No Ollama runs.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = RunningHub::start(World { models: vec![demo(folder.path())], ..World::default() });
        let ollama = OllamaSettings {
            host: Some(NOBODY.to_owned()),
            registry: Some(hub.registry()),
            catalogue: Some(hub.registry()),
            stores: Vec::new(),
        };
        let settings = ProviderSettings { ollama, ..ProviderSettings::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { hub, folder, settings, runtime }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn store(&self) -> PathBuf {
        self.home().join("models/ollama")
    }

    /// A provider of its own, as a new process has it.
    fn provider(&self) -> OllamaModels {
        let downloads = DownloadSettings {
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(20),
            stall_window: Duration::from_secs(2),
            most_failures: 3,
            most_failures_at_first: 2,
            ..DownloadSettings::default()
        };
        OllamaModels::with_downloads(&Paths::in_home(&self.home()), &self.settings, downloads)
    }

    fn resolve(&self, reference: &str) -> Result<PullPlan, ProviderError> {
        self.runtime.block_on(self.provider().resolve(&parsed(reference)))
    }

    fn locate(&self, reference: &str) -> Result<InstalledModel, ProviderError> {
        self.runtime.block_on(self.provider().locate(&parsed(reference)))
    }

    fn installed(&self) -> Vec<String> {
        let models = self.runtime.block_on(self.provider().installed()).unwrap();
        models.iter().map(|model| model.reference.to_string()).collect()
    }

    fn remove(&self, model: &InstalledModel) -> Result<u64, ProviderError> {
        self.runtime.block_on(self.provider().remove(model))
    }

    /// Resolves and pulls with one provider, as one operation does.
    fn pull(&self, reference: &str, told: &Told) -> Result<InstalledModel, ProviderError> {
        self.pull_until(reference, told, &CancellationToken::new())
    }

    fn pull_until(&self, reference: &str, told: &Told, cancel: &CancellationToken) -> Result<InstalledModel, ProviderError> {
        let provider = self.provider();
        self.runtime.block_on(async {
            let plan = provider.resolve(&parsed(reference)).await?;
            let pull = provider.pull(&plan, PullWatch { progress: told, cancel });
            tokio::time::timeout(Duration::from_mins(2), pull).await.unwrap_or_else(|_| panic!("the pull does not end: {}", told.phases()))
        })
    }

    /// Every file of our own store but the locks, from its root.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.store()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => files.push(path.strip_prefix(self.store()).unwrap().display().to_string()),
                }
            }
        }
        files.retain(|file| !file.starts_with(".orchestrator/"));
        files.sort();
        files
    }
}

fn parsed(reference: &str) -> ModelReference {
    reference.parse().unwrap()
}

/// The weights of the demo model, which a real engine would run.
fn weights(folder: &Path) -> Vec<u8> {
    let file = folder.join("demo.gguf");
    write_demo_model(&file, &DemoModel::default()).unwrap();
    fs::read(file).unwrap()
}

fn demo(folder: &Path) -> LibraryModel {
    LibraryModel::new("demo", "tiny", weights(folder))
        .layer("template", TEMPLATE.as_bytes().to_vec())
        .layer("system", b"Be brief.".to_vec())
        .layer("license", b"MIT License\n\nPermission is hereby granted".to_vec())
        .parameters(&json!({ "stop": ["<|im_end|>"], "temperature": 0.5, "num_ctx": 1024 }))
}

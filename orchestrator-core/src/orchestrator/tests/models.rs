//! Pulling, removing and clearing away models, against a hub that is told when to go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::super::models::{Manifest, PruneRequest, PullRequest, RemoveRequest};
use super::fake::Home;
use super::{name, up};
use crate::config::DaemonConfig;
use crate::error::ErrorCode;
use crate::model::{FileRole, InstalledModel, ModelDefaults, ModelFile, ModelFormat, ModelReference, PlannedFile, PullPlan};
use crate::operation::{Operation, OperationStatus, ProgressUpdate};
use crate::orchestrator::ShutdownMode;
use crate::provider::{ProviderError, ProviderKind, PullWatch};
use crate::{Orchestrator, Provider};

/// A hub: every model has 1,000 bytes for each letter of its selector. A pull ends when a permit is there.
struct Hub {
    folder: PathBuf,
    permits: Arc<Semaphore>,
}

fn reference(text: &str) -> ModelReference {
    text.parse().unwrap()
}

impl Hub {
    fn path(&self, reference: &ModelReference) -> PathBuf {
        self.folder.join(reference.to_string().replace(['/', ':'], "_"))
    }
}

#[async_trait]
impl Provider for Hub {
    fn kind(&self) -> ProviderKind {
        ProviderKind::HuggingFace
    }

    fn store_dir(&self) -> Option<PathBuf> {
        Some(self.folder.clone())
    }

    async fn resolve(&self, reference: &ModelReference) -> Result<PullPlan, ProviderError> {
        let ModelReference::HuggingFace { selector: Some(selector), .. } = reference else {
            return Err(ProviderError::NotFound { reference: reference.clone(), nearest: Vec::new() });
        };
        let file = PlannedFile {
            name: "model.gguf".to_owned(),
            role: FileRole::Weights,
            size_bytes: Some(selector.len() as u64 * 1_000),
            digest: None,
            present_bytes: 0,
        };
        Ok(PullPlan {
            reference: reference.clone(),
            revision: "c0ffee".to_owned(),
            format: ModelFormat::Gguf,
            quantisation: None,
            architecture: None,
            licence: Some("mit".to_owned()),
            gated: false,
            needs_remote_code: false,
            files: vec![file],
        })
    }

    async fn pull(&self, plan: &PullPlan, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        watch.progress.update(ProgressUpdate { phase: "fetching".to_owned(), ..ProgressUpdate::default() });
        let permit = watch.cancel.run_until_cancelled(self.permits.acquire()).await;
        let Some(Ok(permit)) = permit else { return Err(ProviderError::Cancelled { reference: plan.reference.clone() }) };
        permit.forget();
        let path = self.path(&plan.reference);
        std::fs::write(&path, vec![0; usize::try_from(plan.total_bytes()).unwrap()]).unwrap();
        self.locate(&plan.reference).await
    }

    async fn remove(&self, model: &InstalledModel) -> Result<u64, ProviderError> {
        std::fs::remove_file(&model.path).unwrap();
        Ok(model.size_bytes)
    }

    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
        let path = self.path(reference);
        let Ok(found) = std::fs::metadata(&path) else {
            return Err(ProviderError::NotInstalled { reference: reference.clone() });
        };
        Ok(InstalledModel {
            reference: reference.clone(),
            files: vec![ModelFile { path: path.clone(), size_bytes: found.len(), sha256: None }],
            path,
            format: ModelFormat::Gguf,
            name: None,
            architecture: "llama".to_owned(),
            quantisation: None,
            context_length: None,
            parameters: 0,
            size_bytes: found.len(),
            has_chat_template: false,
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

/// A home with a hub.
struct Place {
    home: Home,
    store: tempfile::TempDir,
    permits: Arc<Semaphore>,
}

impl Place {
    /// Lets `permits` pulls end at once.
    fn new(permits: usize) -> Self {
        Self { home: Home::new(), store: tempfile::tempdir().unwrap(), permits: Arc::new(Semaphore::new(permits)) }
    }

    async fn open(&self, change: impl FnOnce(&mut DaemonConfig)) -> Orchestrator {
        let mut config = DaemonConfig::default();
        config.models.keep_free_gb = 0;
        change(&mut config);
        let hub = Hub { folder: self.store.path().to_path_buf(), permits: self.permits.clone() };
        self.home.builder().provider(Arc::new(hub)).config(config).open().await.unwrap()
    }

    fn manifest(&self) -> Manifest {
        let file = self.home.paths().models_dir().join("manifest.json");
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }
}

fn pull(text: &str) -> PullRequest {
    PullRequest { reference: reference(text), runtime: None, confirmed: false }
}

async fn ended(orchestrator: &Orchestrator, operation: &Operation) -> OperationStatus {
    let mut watch = orchestrator.watch_operation(operation.id).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), watch.wait_for(|operation| operation.status.is_final())).await;
    ended.unwrap().unwrap().status.clone()
}

async fn pulled(orchestrator: &Orchestrator, text: &str) {
    let operation = orchestrator.pull_model(pull(text)).await.unwrap();
    let status = ended(orchestrator, &operation).await;
    assert!(matches!(status, OperationStatus::Succeeded { .. }), "{status:?}");
}

#[tokio::test]
async fn a_pulled_model_is_listed_and_stands_in_the_manifest() {
    let place = Place::new(9);
    let orchestrator = place.open(|_| {}).await;
    pulled(&orchestrator, "hf:a/b:xyz").await;
    let models = orchestrator.models().await.unwrap();
    assert_eq!(
        models.iter().map(|model| (model.reference.to_string(), model.size_bytes)).collect::<Vec<_>>(),
        [("hf:a/b:xyz".to_owned(), 3_000)]
    );
    assert_eq!(place.manifest().models[0].size_bytes, 3_000);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn the_same_pull_asked_twice_joins_the_first() {
    let place = Place::new(0);
    let orchestrator = place.open(|_| {}).await;
    let first = orchestrator.pull_model(pull("hf:a/b:x")).await.unwrap();
    let second = orchestrator.pull_model(pull("hf:a/b:x")).await.unwrap();
    let other = orchestrator.pull_model(pull("hf:a/b:y")).await.unwrap();
    assert_eq!(first.id, second.id);
    assert_ne!(first.id, other.id);
    place.permits.add_permits(2);
    for operation in [&first, &other] {
        assert!(matches!(ended(&orchestrator, operation).await, OperationStatus::Succeeded { .. }));
    }
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_pull_that_was_cancelled_says_so_and_gives_its_turn_back() {
    let place = Place::new(0);
    let orchestrator = place.open(|config| config.models.parallel_pulls = std::num::NonZeroU32::MIN).await;
    let first = orchestrator.pull_model(pull("hf:a/b:x")).await.unwrap();
    let second = orchestrator.pull_model(pull("hf:a/b:y")).await.unwrap();
    orchestrator.cancel_operation(first.id).unwrap();
    assert!(matches!(ended(&orchestrator, &first).await, OperationStatus::Cancelled { .. }));
    place.permits.add_permits(1);
    assert!(matches!(ended(&orchestrator, &second).await, OperationStatus::Succeeded { .. }));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_pull_outlives_the_owner_of_its_home() {
    let place = Place::new(0);
    let first = place.open(|_| {}).await;
    let operation = first.pull_model(pull("hf:a/b:x")).await.unwrap();
    first.shutdown(ShutdownMode::LeaveRunning).await;
    let second = place.open(|_| {}).await;
    place.permits.add_permits(1);
    assert!(matches!(ended(&second, &operation).await, OperationStatus::Succeeded { .. }));
    assert_eq!(second.models().await.unwrap().len(), 1);
    second.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn what_is_too_large_must_be_confirmed() {
    let place = Place::new(9);
    let orchestrator = place.open(|config| config.models.confirm_above_gb = 0).await;
    let refused = orchestrator.pull_model(pull("hf:a/b:xyz")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ModelUnconfirmed);
    assert!(refused.title.contains("3.0 kB"), "{refused}");
    let operation = orchestrator.pull_model(PullRequest { confirmed: true, ..pull("hf:a/b:xyz") }).await.unwrap();
    assert!(matches!(ended(&orchestrator, &operation).await, OperationStatus::Succeeded { .. }));
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_quota_is_kept_and_the_promise_of_a_failed_pull_is_given_back() {
    let place = Place::new(0);
    let orchestrator = place.open(|config| config.models.max_disk_gb = Some(0)).await;
    let refused = orchestrator.pull_model(pull("hf:a/b:xyz")).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ModelNoSpace);
    assert!(refused.to_string().contains("3.0 kB"), "{refused}");
    orchestrator.shutdown(ShutdownMode::StopAll).await;
    // Half of the disk each: the second has no room while the first is under way.
    let orchestrator = place.open(|_| {}).await;
    let first = orchestrator.pull_model(pull("hf:a/b:x")).await.unwrap();
    orchestrator.cancel_operation(first.id).unwrap();
    ended(&orchestrator, &first).await;
    assert!(orchestrator.inner.services.pulls.is_idle());
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn a_model_in_use_is_removed_only_when_told() {
    let place = Place::new(9);
    let orchestrator = place.open(|_| {}).await;
    pulled(&orchestrator, "hf:a/b:good").await;
    let model = orchestrator.models().await.unwrap().remove(0);
    place.home.instance("a", "good", "");
    let file = place.home.paths().instance_dir(&name("a")).join("config.yaml");
    std::fs::write(&file, "name: a\nmodel: {ref: 'hf:a/b:good'}\n").unwrap();
    up(&orchestrator, "a").await;
    let request = RemoveRequest { reference: model.reference.clone(), force: false };
    let refused = orchestrator.remove_model(request.clone()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ModelInUse);
    assert!(refused.title.contains("`a` (running)"), "{refused}");
    assert!(model.path.exists());
    let operation = orchestrator.remove_model(RemoveRequest { force: true, ..request.clone() }).await.unwrap();
    assert!(matches!(ended(&orchestrator, &operation).await, OperationStatus::Succeeded { .. }));
    assert!(!model.path.exists());
    assert!(place.manifest().models.is_empty());
    let gone = orchestrator.remove_model(request).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::ModelNotFound);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

#[tokio::test]
async fn models_that_were_not_used_for_longest_are_cleared_away_first() {
    let place = Place::new(9);
    let orchestrator = place.open(|_| {}).await;
    for text in ["hf:a/b:1", "hf:a/b:22", "hf:a/b:333", "hf:a/b:4444"] {
        pulled(&orchestrator, text).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    std::fs::create_dir_all(place.home.paths().instance_dir(&name("a"))).unwrap();
    std::fs::write(place.home.paths().instance_dir(&name("a")).join("config.yaml"), "name: a\nmodel: {ref: 'hf:a/b:1'}\n").unwrap();
    let request = PruneRequest { dry_run: true, until_bytes: Some(6_000), keep: Vec::new() };
    let would = orchestrator.prune_models(&request).await.unwrap();
    let names =
        |report: &super::super::models::PruneReport| report.removed.iter().map(|model| model.reference.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&would), ["hf:a/b:22", "hf:a/b:333"]);
    assert_eq!((would.freed_bytes, would.kept_bytes), (5_000, 5_000));
    assert_eq!(orchestrator.models().await.unwrap().len(), 4);
    let kept = PruneRequest { dry_run: false, until_bytes: None, keep: vec![reference("hf:a/b:333")] };
    assert_eq!(names(&orchestrator.prune_models(&kept).await.unwrap()), ["hf:a/b:22", "hf:a/b:4444"]);
    assert_eq!(orchestrator.models().await.unwrap().len(), 2);
    orchestrator.shutdown(ShutdownMode::StopAll).await;
}

//! A hub for tests: every repository has one file, and a pull ends when the file `go` lies in the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::model::{FileRole, InstalledModel, ModelFormat, ModelReference, PlannedFile, PullPlan};
use orchestrator_core::operation::{FilePhase, FileProgress, ProgressUnit, ProgressUpdate};
use orchestrator_core::provider::{FoundModel, ModelQuery, Provider, ProviderError, ProviderKind, PullWatch, SearchResults};

use super::rig::model;

/// The length of each model.
pub(super) const LENGTH: u64 = 4_000;
/// The length of those whose name is `huge`.
pub(super) const HUGE: u64 = 50_000_000_000;

pub(super) struct Hub {
    pub(super) store: PathBuf,
}

/// Lets every pull end.
pub(super) fn go(store: &Path) {
    std::fs::create_dir_all(store).unwrap();
    std::fs::write(store.join("go"), "").unwrap();
}

fn repository(reference: &ModelReference) -> &str {
    match reference {
        ModelReference::HuggingFace { repository, .. } => repository,
        _ => "",
    }
}

impl Hub {
    fn path(&self, reference: &ModelReference) -> PathBuf {
        self.store.join(repository(reference).replace('/', "-"))
    }
}

#[async_trait]
impl Provider for Hub {
    fn kind(&self) -> ProviderKind {
        ProviderKind::HuggingFace
    }

    async fn search(&self, query: &ModelQuery) -> Result<SearchResults, ProviderError> {
        let found = |number: usize| FoundModel {
            reference: format!("hf:{}/{number}", query.text).parse().unwrap(),
            description: None,
            downloads: Some(7),
            likes: None,
            licence: None,
            gated: false,
            variants: Vec::new(),
        };
        Ok(SearchResults { models: (0..query.limit.min(3)).map(found).collect(), stale_since: None })
    }

    async fn resolve(&self, reference: &ModelReference) -> Result<PullPlan, ProviderError> {
        let name = repository(reference);
        if name.ends_with("/gated") {
            let (reason, hint) = ("it is gated".to_owned(), "ask its makers".to_owned());
            return Err(ProviderError::AccessDenied { reference: reference.clone(), reason, hint });
        }
        let size = if name.ends_with("/huge") { HUGE } else { LENGTH };
        let file =
            PlannedFile { name: "model.gguf".to_owned(), role: FileRole::Weights, size_bytes: Some(size), digest: None, present_bytes: 0 };
        Ok(PullPlan {
            reference: reference.clone(),
            revision: "c0ffee".to_owned(),
            format: ModelFormat::Gguf,
            quantisation: None,
            architecture: None,
            licence: None,
            gated: false,
            needs_remote_code: false,
            files: vec![file],
        })
    }

    async fn pull(&self, plan: &PullPlan, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        let mut done = 0;
        while !self.store.join("go").exists() {
            done = (done + 1).min(LENGTH - 1);
            let file = FileProgress { name: "model.gguf".to_owned(), done, total: Some(LENGTH), phase: FilePhase::Fetching };
            watch.progress.update(ProgressUpdate {
                phase: "fetching".to_owned(),
                done: Some(done),
                total: Some(LENGTH),
                unit: ProgressUnit::Bytes,
                rate: Some(1_000),
                eta_seconds: Some(4),
                files: vec![file],
            });
            if watch.cancel.run_until_cancelled(tokio::time::sleep(Duration::from_millis(2))).await.is_none() {
                return Err(ProviderError::Cancelled { reference: plan.reference.clone() });
            }
        }
        std::fs::write(self.path(&plan.reference), vec![0; 4_000]).unwrap();
        self.locate(&plan.reference).await
    }

    async fn remove(&self, model: &InstalledModel) -> Result<u64, ProviderError> {
        std::fs::remove_file(&model.path).unwrap();
        Ok(model.size_bytes)
    }

    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
        let path = self.path(reference);
        if !path.exists() {
            return Err(ProviderError::NotInstalled { reference: reference.clone() });
        }
        Ok(InstalledModel { path, size_bytes: LENGTH, ..model(reference) })
    }

    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError> {
        Ok(Vec::new())
    }
}

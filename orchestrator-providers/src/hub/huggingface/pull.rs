//! Fetches what a plan names, and makes it visible once all of it is here.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use orchestrator_core::model::{FileRole, InstalledModel, PullPlan};
use orchestrator_core::operation::FilePhase;
use orchestrator_core::provider::{ProviderError, PullWatch};

use super::cache::Cache;
use super::cache::publish::CacheError;
use super::plan::{CheckedFile, CheckedPlan, has_blob, in_snapshot};
use super::{HuggingFace, Remote, Wanted, installed};
use crate::download::{FetchObserver, FetchTarget, PullProgress};

/// How many files are fetched side by side. Large ones share the downloader's connections anyway.
const SIDE_BY_SIDE: usize = 4;

impl HuggingFace {
    /// Fetches, verifies and publishes the files of a plan.
    pub(super) async fn fetch(&self, plan: &PullPlan, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        let wanted = Wanted::of(&plan.reference)?;
        let checked = CheckedPlan::of(plan)?;
        let remote = self.remote(Some(&plan.reference))?;
        let missing = self.prepare(wanted, &checked).await?;
        let fetched = self.fetch_missing(remote, wanted, plan, &checked, &missing, watch).await;
        if let Err(error) = fetched {
            let (repository, commit) = (wanted.repository.to_owned(), checked.commit.clone());
            let tidied = self.blocking(wanted.reference, move |cache| {
                cache.repository(&repository).tidy(&commit);
                Ok(())
            });
            // What went wrong before is what matters.
            let _ = tidied.await;
            return Err(error);
        }
        self.publish(wanted, checked).await
    }

    /// Makes the folders, and finds the files that are not here.
    async fn prepare(&self, wanted: Wanted<'_>, checked: &CheckedPlan) -> Result<BTreeSet<usize>, ProviderError> {
        let (repository, checked) = (wanted.repository.to_owned(), checked.clone());
        self.blocking(wanted.reference, move |cache| {
            let repository = cache.repository(&repository);
            repository.prepare(&checked.commit).map_err(store)?;
            let mut missing = BTreeSet::new();
            for (index, file) in checked.files.iter().enumerate() {
                repository.clear_blob(&file.digest).map_err(store)?;
                if !in_snapshot(&repository, &checked.commit, &file.listed) && !has_blob(&repository, &file.listed) {
                    missing.insert(index);
                }
            }
            Ok(missing)
        })
        .await
    }

    async fn fetch_missing(
        &self,
        remote: &Remote,
        wanted: Wanted<'_>,
        plan: &PullPlan,
        checked: &CheckedPlan,
        missing: &BTreeSet<usize>,
        watch: PullWatch<'_>,
    ) -> Result<(), ProviderError> {
        let repository = self.cache.repository(wanted.repository);
        let progress = PullProgress::of_plan(plan, watch.progress);
        let asked = remote.asked(wanted);
        for (index, file) in checked.files.iter().enumerate().filter(|(index, _)| !missing.contains(index)) {
            progress.file(index).present(file.listed.size_bytes.unwrap_or(0));
            progress.file(index).phase(FilePhase::Done);
        }
        // The same content twice in a repository is one blob: fetched once, found by the other.
        let fetch = |index: usize| {
            let (repository, progress, asked) = (&repository, &progress, &asked);
            async move {
                let Some(file) = checked.files.get(index) else { return Ok(()) };
                let source = remote.api.file(wanted.repository, &checked.commit, &file.listed);
                let target = FetchTarget { path: repository.blob(&file.digest), lock: repository.lock(&file.digest) };
                let fetched = remote.downloader.fetch(&source, &target, &progress.file(index), watch.cancel).await;
                fetched.map(drop).map_err(|error| super::explain::failed(asked, plan.gated, error))
            }
        };
        stream::iter(missing.iter().copied().map(fetch)).buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await
    }

    /// Links the files into the snapshot, the first one of the weights last; then says where the branch stands.
    async fn publish(&self, wanted: Wanted<'_>, checked: CheckedPlan) -> Result<InstalledModel, ProviderError> {
        let reference = wanted.reference.clone();
        self.blocking(wanted.reference, move |cache| {
            let wanted = Wanted::of(&reference)?;
            let repository = cache.repository(wanted.repository);
            for file in in_order_of_publication(&checked.files) {
                if !in_snapshot(&repository, &checked.commit, &file.listed) {
                    repository.publish(&checked.commit, &file.listed.name, &file.digest).map_err(store)?;
                }
            }
            repository.write_reference(wanted.revision_or_main(), &checked.commit).map_err(store)?;
            look(&cache, &reference, &checked)
        })
        .await
    }
}

/// What was fetched is looked at by its commit: the branch may have been moved by somebody else in between.
fn look(
    cache: &Cache,
    reference: &orchestrator_core::model::ModelReference,
    checked: &CheckedPlan,
) -> Result<InstalledModel, ProviderError> {
    let first = checked.files.iter().find(|file| file.role == FileRole::Weights).map(|file| file.listed.name.as_str());
    installed::at_commit(cache, reference, &checked.commit, first)
}

/// Whoever looks while this goes on must not find weights without what belongs to them.
fn in_order_of_publication(files: &[CheckedFile]) -> impl Iterator<Item = &CheckedFile> {
    files.iter().rev()
}

pub(super) fn store(error: CacheError) -> ProviderError {
    ProviderError::Store { action: error.action, path: error.path, source: error.source }
}

//! Fetches what a plan names, and makes it visible once all of it is here.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use orchestrator_core::model::{FileRole, InstalledModel, PullPlan};
use orchestrator_core::operation::FilePhase;
use orchestrator_core::provider::{ProviderError, PullWatch};

use super::cache::Cache;
use super::cache::publish::CacheError;
use super::plan::{CheckedFile, CheckedPlan, has_blob, in_snapshot};
use super::{HuggingFace, Remote, Wanted, installed};
use crate::download::{FetchObserver, FetchTarget, PullProgress};

/// What is not here of a plan, by its place.
#[derive(Debug, Default)]
struct Missing {
    /// What the snapshot lacks.
    unlinked: BTreeSet<usize>,
    /// What of it has to be fetched.
    unfetched: BTreeSet<usize>,
}

/// How many files are fetched side by side. Large ones share the downloader's connections anyway.
const SIDE_BY_SIDE: usize = 4;

impl HuggingFace {
    /// Fetches, verifies and publishes the files of a plan.
    pub(super) async fn fetch(&self, plan: &PullPlan, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        let wanted = Wanted::of(&plan.reference)?;
        let checked = CheckedPlan::of(plan)?;
        let remote = self.remote(Some(&plan.reference))?;
        let missing = self.prepare(wanted, &checked).await?;
        let fetched = self.fetch_missing(remote, wanted, plan, &checked, &missing.unfetched, watch).await;
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
        self.publish(wanted, checked, missing).await
    }

    /// Finds the files that are not here, and makes the folders for them. Where everything is in its place nothing is
    /// written: a cache may be read-only.
    async fn prepare(&self, wanted: Wanted<'_>, checked: &CheckedPlan) -> Result<Missing, ProviderError> {
        let (repository, checked) = (wanted.repository.to_owned(), checked.clone());
        self.blocking(wanted.reference, move |cache| {
            let repository = cache.repository(&repository);
            let absent = |file: &CheckedFile| !in_snapshot(&repository, &checked.commit, &file.listed);
            let unlinked: BTreeSet<usize> = (0..).zip(&checked.files).filter(|(_, file)| absent(file)).map(|(index, _)| index).collect();
            if unlinked.is_empty() {
                return Ok(Missing::default());
            }
            repository.prepare(&checked.commit).map_err(store)?;
            let mut unfetched = BTreeSet::new();
            for (index, file) in checked.files.iter().enumerate().filter(|(index, _)| unlinked.contains(index)) {
                repository.clear_blob(&file.digest).map_err(store)?;
                if !has_blob(&repository, &file.listed) {
                    unfetched.insert(index);
                }
            }
            Ok(Missing { unlinked, unfetched })
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
        let cancel = watch.cancel.child_token();
        // The same content twice in a repository is one blob: fetched once, found by the other.
        let fetch = |index: usize| {
            let (repository, progress, asked, cancel) = (&repository, &progress, &asked, &cancel);
            async move {
                let Some(file) = checked.files.get(index) else { return Ok(()) };
                let source = remote.api.file(wanted.repository, &checked.commit, &file.listed);
                let target = FetchTarget { path: repository.blob(&file.digest), lock: repository.lock(&file.digest) };
                let fetched = remote.downloader.fetch(&source, &target, &progress.file(index), cancel).await;
                fetched.map(drop).map_err(|error| super::explain::failed(asked, plan.gated, error))
            }
        };
        // After a failure the others are ended and waited for: they put what they have in order before anyone tries again.
        let mut running = stream::iter(missing.iter().copied().map(fetch)).buffer_unordered(SIDE_BY_SIDE);
        let mut outcome = Ok(());
        while let Some(fetched) = running.next().await {
            if let (Err(error), true) = (fetched, outcome.is_ok()) {
                outcome = Err(error);
                cancel.cancel();
            }
        }
        outcome
    }

    /// Links the files into the snapshot, the first one of the weights last; then says where the branch stands.
    async fn publish(&self, wanted: Wanted<'_>, checked: CheckedPlan, missing: Missing) -> Result<InstalledModel, ProviderError> {
        let reference = wanted.reference.clone();
        self.blocking(wanted.reference, move |cache| {
            let wanted = Wanted::of(&reference)?;
            let repository = cache.repository(wanted.repository);
            // Whoever looks while this goes on must not find weights without what belongs to them: the first comes last.
            for (_, file) in checked.files.iter().enumerate().rev().filter(|(index, _)| missing.unlinked.contains(index)) {
                repository.publish(&checked.commit, &file.listed.name, &file.digest).map_err(store)?;
            }
            match repository.write_reference(wanted.revision_or_main(), &checked.commit) {
                Err(error) if !missing.unlinked.is_empty() => return Err(store(error)),
                Err(error) => tracing::debug!(path = %error.path.display(), error = %error.source, "the branch is not written down"),
                Ok(()) => {}
            }
            let looked = look(&cache, &reference, &checked);
            if let Err(ProviderError::Invalid { .. }) = &looked {
                // It is what its source has under this name, and no model: nothing of it stays.
                let files = checked.files.iter().enumerate().filter(|(index, _)| missing.unlinked.contains(index));
                let names: Vec<_> = files.map(|(_, file)| file.listed.name.clone()).collect();
                if let Err(error) = repository.remove(&checked.commit, &names) {
                    tracing::warn!(%error, %reference, "what was fetched and is no model could not be removed");
                }
            }
            looked
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

fn store(error: CacheError) -> ProviderError {
    ProviderError::Store { action: error.action, path: error.path, source: error.source }
}

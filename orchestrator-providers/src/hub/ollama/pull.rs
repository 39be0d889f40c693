//! Pulls a model: through a running Ollama, its command line, or from the registry into our own store.

use std::collections::HashMap;
use std::io;

use futures_util::future::join_all;
use orchestrator_core::model::{FileDigest, InstalledModel, PullPlan, Sha256Digest};
use orchestrator_core::operation::{FilePhase, FileProgress, Progress, ProgressUpdate};
use orchestrator_core::provider::{ProviderError, PullWatch};
use tokio_util::sync::CancellationToken;

use super::command::{Command, CommandError, CommandProgress};
use super::daemon::{Daemon, DaemonError};
use super::manifest::{Manifest, Part};
use super::name::LibraryName;
use super::places::{self, DaemonFiles};
use super::pulling::PullStream;
use super::registry::Visit;
use super::resolve::{file_name, target};
use super::store::{Published, Store};
use super::{OllamaModels, Remote};
use crate::download::{DownloadError, Downloader, FetchObserver, PullProgress};

/// Parts up to this size are fetched at once and not in pieces, in bytes.
const SMALL: u64 = 256 * 1024;
/// How often what somebody removed meanwhile is fetched again.
const TRIES: usize = 3;

/// Why a way did not lead to the model.
enum WayError {
    /// The next one may.
    PassedOver(String),
    /// No other one would.
    Failed(ProviderError),
}

/// Progress that says which way is taken.
struct Via<'a> {
    inner: &'a dyn Progress,
    way: String,
}

impl Progress for Via<'_> {
    fn update(&self, mut update: ProgressUpdate) {
        update.phase = format!("{}: {}", self.way, update.phase);
        self.inner.update(update);
    }
}

impl OllamaModels {
    /// Pulls what a plan names. A model that is here in that version already is taken as it is.
    pub(super) async fn fetch(&self, plan: &PullPlan, name: &LibraryName, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        if let Ok(model) = self.find(&plan.reference, name).await
            && model.revision.as_ref() == Some(&plan.revision)
        {
            return Ok(model);
        }
        let remote = self.remote()?;
        let passed_over = match self.fetch_through_ollama(remote, plan, name, watch).await {
            Ok(model) => return Ok(model),
            Err(WayError::Failed(error)) => return Err(error),
            Err(WayError::PassedOver(why)) => why,
        };
        let way = format!("from {}", remote.registry.address());
        tracing::info!(%name, way, because = passed_over, "pulling a model of the Ollama library");
        say(watch.progress, format!("{way}, because {passed_over}"));
        let progress = Via { inner: watch.progress, way };
        self.fetch_from_registry(remote, plan, name, PullWatch { progress: &progress, cancel: watch.cancel }).await
    }

    async fn fetch_through_ollama(
        &self,
        remote: &Remote,
        plan: &PullPlan,
        name: &LibraryName,
        watch: PullWatch<'_>,
    ) -> Result<InstalledModel, WayError> {
        let daemon = &remote.daemon;
        match daemon.version().await {
            Ok(version) => match self.files_of(daemon).await {
                DaemonFiles::Readable(_) | DaemonFiles::Unknown => {
                    let way = format!("through Ollama {version} at {}", daemon.address());
                    tracing::info!(%name, way, "pulling a model of the Ollama library");
                    let progress = Via { inner: watch.progress, way };
                    self.fetch_through_daemon(daemon, plan, name, PullWatch { progress: &progress, cancel: watch.cancel }).await
                }
                DaemonFiles::Unreadable(why) => Err(WayError::PassedOver(format!("Ollama runs at {}, but {why}", daemon.address()))),
            },
            Err(not_there) => match self.command() {
                Some(command) => {
                    let way = format!("with the command `{}`", command.program().display());
                    tracing::info!(%name, way, because = %not_there, "pulling a model of the Ollama library");
                    let progress = Via { inner: watch.progress, way };
                    self.fetch_with_command(&command, plan, name, PullWatch { progress: &progress, cancel: watch.cancel }).await
                }
                None => Err(WayError::PassedOver(not_there.to_string())),
            },
        }
    }

    async fn fetch_through_daemon(
        &self,
        daemon: &Daemon,
        plan: &PullPlan,
        name: &LibraryName,
        watch: PullWatch<'_>,
    ) -> Result<InstalledModel, WayError> {
        let reference = &plan.reference;
        let progress = PullProgress::of_plan(plan, watch.progress);
        let places = places_of(plan);
        let mut heard = |said: &PullStream| {
            for (digest, layer) in said.layers() {
                if let Some(index) = places.get(digest) {
                    tell(&progress.file(*index), layer.done, layer.total);
                }
            }
            if said.status().starts_with("verifying") {
                for index in places.values() {
                    progress.file(*index).phase(FilePhase::Verifying);
                }
            }
        };
        daemon.pull(name, watch.cancel, &mut heard).await.map_err(|error| match error {
            DaemonError::Cancelled => WayError::Failed(ProviderError::Cancelled { reference: reference.clone() }),
            error if error.wants_newer() => WayError::PassedOver(error.to_string()),
            error => WayError::Failed(ProviderError::Source {
                source_name: "Ollama".to_owned(),
                reason: error.to_string(),
                hint: Some("look into Ollama's own log; while it does not run, models are fetched without it".to_owned()),
                retry_after: None,
            }),
        })?;
        for index in places.values() {
            progress.file(*index).phase(FilePhase::Done);
        }
        self.found_after(plan, self.find_through_daemon(reference, name).await)
    }

    async fn fetch_with_command(
        &self,
        command: &Command,
        plan: &PullPlan,
        name: &LibraryName,
        watch: PullWatch<'_>,
    ) -> Result<InstalledModel, WayError> {
        let progress = PullProgress::of_plan(plan, watch.progress);
        let places = places_of(plan);
        let mut heard = |said: &CommandProgress| {
            let place = places.iter().find(|(digest, _)| digest.starts_with(&said.layer));
            if let Some((_, index)) = place {
                let total = plan.files[*index].size_bytes.unwrap_or(0);
                tell(&progress.file(*index), total / 100 * said.percent, total);
            }
        };
        match command.pull(name, watch.cancel, &mut heard).await {
            Ok(()) => {}
            Err(CommandError::Cancelled) => return Err(WayError::Failed(ProviderError::Cancelled { reference: plan.reference.clone() })),
            // It has nothing that the registry itself does not have, and says too little to tell why it failed.
            Err(error) => return Err(WayError::PassedOver(error.to_string())),
        }
        let found = match command.model_file(name).await {
            Ok(Some(text)) => self.find_by_text(&plan.reference, name, &text).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        self.found_after(plan, found)
    }

    /// Judges what Ollama has after it pulled.
    #[expect(clippy::unused_self, reason = "a step of pulling, beside the others")]
    fn found_after(&self, plan: &PullPlan, found: Result<Option<InstalledModel>, String>) -> Result<InstalledModel, WayError> {
        match found {
            Ok(Some(model)) => {
                if model.revision.as_ref() != Some(&plan.revision) {
                    // Ollama pulls what the tag names when it asks.
                    tracing::warn!(reference = %plan.reference, asked = plan.revision, got = model.revision, "Ollama pulled a newer version than was resolved");
                }
                Ok(model)
            }
            Ok(None) => Err(WayError::PassedOver("Ollama pulled it and does not have it".to_owned())),
            Err(why) => Err(WayError::PassedOver(format!("Ollama has it now, but its file is not for us: {why}"))),
        }
    }

    async fn fetch_from_registry(
        &self,
        remote: &Remote,
        plan: &PullPlan,
        name: &LibraryName,
        watch: PullWatch<'_>,
    ) -> Result<InstalledModel, ProviderError> {
        let reference = &plan.reference;
        let mut visit = remote.registry.visit(reference, name);
        let digest = Sha256Digest::try_new(&plan.revision).map_err(|error| ProviderError::Refused {
            reference: reference.clone(),
            reason: error.to_string(),
            hint: None,
        })?;
        let found = match self.remembered(&digest) {
            Some(found) => found,
            None => visit.manifest_at(&digest).await?,
        };
        self.on_own_store("preparing", Store::prepare).await?;
        let (manifest, bytes) = (found.manifest, found.bytes);
        let progress = PullProgress::new(manifest.parts.iter().map(|part| self.begun(part)).collect(), watch.progress);
        for _ in 0..TRIES {
            self.fetch_parts(&remote.downloader, &mut visit, &manifest, (&progress, watch.cancel)).await?;
            let (name, bytes, manifest) = (name.clone(), bytes.clone(), manifest.clone());
            let published = self.on_own_store("publishing a model in", move |store| store.publish(&name, &bytes, &manifest)).await?;
            if published == Published::Done {
                break;
            }
        }
        let described = places::describe(self.own.clone(), reference, name).await?;
        described.ok_or_else(|| ProviderError::Source {
            source_name: remote.registry.address(),
            reason: "what was fetched was removed again and again by somebody else".to_owned(),
            hint: None,
            retry_after: None,
        })
    }

    fn begun(&self, part: &Part) -> FileProgress {
        let done = if self.own.has(part) { part.size_bytes } else { 0 };
        FileProgress { name: file_name(part), done, total: Some(part.size_bytes), phase: FilePhase::Waiting }
    }

    /// Fetches the parts that are not here, the small ones first; once more with a new token, where the old one is refused.
    async fn fetch_parts(
        &self,
        downloader: &Downloader,
        visit: &mut Visit<'_>,
        manifest: &Manifest,
        (progress, cancel): (&PullProgress<'_>, &CancellationToken),
    ) -> Result<(), ProviderError> {
        let cancelled = |visit: &Visit<'_>| visit.failed(DownloadError::Cancelled);
        let (small, large): (Vec<_>, Vec<_>) =
            manifest.parts.iter().enumerate().filter(|(_, part)| !self.own.has(part)).partition(|(_, part)| part.size_bytes <= SMALL);
        for (index, part) in manifest.parts.iter().enumerate().filter(|(_, part)| self.own.has(part)) {
            tell(&progress.file(index), part.size_bytes, part.size_bytes);
            progress.file(index).phase(FilePhase::Done);
        }
        for (index, part) in small {
            let observer = progress.file(index);
            observer.phase(FilePhase::Fetching);
            let Some(bytes) = cancel.run_until_cancelled(visit.small(part)).await else { return Err(cancelled(visit)) };
            let (bytes, digest) = (bytes?, part.digest.clone());
            self.on_own_store("writing into", move |store| store.put(&digest, &bytes)).await?;
            observer.present(part.size_bytes);
            observer.phase(FilePhase::Done);
        }
        let mut waiting = large;
        let mut has_renewed = false;
        while !waiting.is_empty() {
            let outcomes = self.fetch_together(downloader, visit, &waiting, (progress, cancel)).await?;
            let mut again = Vec::new();
            let mut failure = None;
            for (place, outcome) in waiting.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => {}
                    Err(DownloadError::Unauthorized { .. }) if !has_renewed => again.push(place),
                    // One that was ended for another's failure says nothing new.
                    Err(DownloadError::Cancelled) if !cancel.is_cancelled() => again.push(place),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if let Some(error) = failure {
                return Err(visit.failed(error));
            }
            waiting = again;
            if !waiting.is_empty() {
                has_renewed = true;
                visit.renew().await?;
            }
        }
        Ok(())
    }

    /// Fetches parts side by side. When one fails the others are ended, and keep what they have.
    async fn fetch_together(
        &self,
        downloader: &Downloader,
        visit: &Visit<'_>,
        parts: &[(usize, &Part)],
        (progress, cancel): (&PullProgress<'_>, &CancellationToken),
    ) -> Result<Vec<Result<(), DownloadError>>, ProviderError> {
        let together = cancel.child_token();
        let files = parts.iter().map(|(_, part)| visit.file(part)).collect::<Result<Vec<_>, _>>()?;
        let fetches = parts.iter().zip(&files).map(|((index, part), file)| {
            let (observer, together) = (progress.file(*index), &together);
            async move {
                let fetched = downloader.fetch(file, &target(&self.own, part), &observer, together).await;
                if fetched.is_err() {
                    together.cancel();
                }
                fetched.map(drop)
            }
        });
        Ok(join_all(fetches).await)
    }

    /// Does something to our own store, on a thread that may block.
    async fn on_own_store<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Store) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (store, path) = (self.own.clone(), self.own.root().to_path_buf());
        let done = tokio::task::spawn_blocking(move || work(&store)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|source| ProviderError::Store { action, path, source })
    }
}

fn say(progress: &dyn Progress, phase: String) {
    progress.update(ProgressUpdate { phase, ..ProgressUpdate::default() });
}

fn tell(observer: &dyn FetchObserver, done: u64, total: u64) {
    // A change of phase is told at once, and takes the count along.
    observer.present(done);
    observer.phase(if done < total { FilePhase::Fetching } else { FilePhase::Done });
}

/// Returns where the file with each digest stands in a plan.
fn places_of(plan: &PullPlan) -> HashMap<&str, usize> {
    let digest = |file: &'_ orchestrator_core::model::PlannedFile| matches!(file.digest, Some(FileDigest::Sha256(_)));
    let sha256 = plan.files.iter().enumerate().filter(|(_, file)| digest(file));
    sha256.filter_map(|(index, file)| Some((file.digest.as_ref()?.as_str(), index))).collect()
}

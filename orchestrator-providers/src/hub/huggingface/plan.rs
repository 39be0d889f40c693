//! Makes plans: what would be fetched for a reference, and what of it is here already.

use orchestrator_core::model::{FileDigest, FileRole, ModelFormat, ModelReference, PlannedFile, PullPlan};
use orchestrator_core::provider::{ProviderError, Variant};

use super::cache::{Cache, CachedRepository};
use super::choose::{choose, groups, selector_of};
use super::explain::{unchosen, with_selector};
use super::listing::{Commit, ListedFile, Listing};
use super::path::RepositoryPath;
use super::{Remote, Wanted, snapshot};
use crate::download::{Downloader, FetchTarget};

/// A plan whose names were checked again: it may have been stored, and come back from anywhere.
#[derive(Debug, Clone)]
pub(super) struct CheckedPlan {
    pub(super) commit: Commit,
    pub(super) files: Vec<CheckedFile>,
}

/// A file of a plan.
#[derive(Debug, Clone)]
pub(super) struct CheckedFile {
    pub(super) listed: ListedFile,
    pub(super) digest: FileDigest,
    pub(super) role: FileRole,
}

impl Remote {
    /// Asks what a repository holds, and completes it by the `config.json`, which knows more than the listing.
    pub(super) async fn list(&self, wanted: Wanted<'_>) -> Result<Listing, ProviderError> {
        let mut listing = self.api.listing(wanted.reference, wanted.repository, wanted.revision_or_main()).await?;
        let is_snapshot = matches!(choose(&listing, wanted.selector), Ok(chosen) if chosen.format == ModelFormat::Safetensors);
        if let Some(file) = listing.find(snapshot::CONFIG).filter(|_| is_snapshot)
            && let Some(config) = self.api.config(wanted.repository, &listing.commit, file).await
        {
            listing.needs_remote_code |= config.get("auto_map").and_then(serde_json::Value::as_object).is_some_and(|map| !map.is_empty());
            listing.architecture = config.get("model_type").and_then(|word| super::listing::clean(word.as_str()?)).or(listing.architecture);
        }
        Ok(listing)
    }
}

/// Makes the plan for a reference.
pub(super) fn make(
    cache: &Cache,
    downloader: &Downloader,
    reference: &ModelReference,
    listing: &Listing,
) -> Result<PullPlan, ProviderError> {
    let wanted = Wanted::of(reference)?;
    let chosen = choose(listing, wanted.selector).map_err(|error| unchosen(reference, error))?;
    let repository = cache.repository(wanted.repository);
    let planned = |(file, role): &(&ListedFile, FileRole)| PlannedFile {
        name: file.name.as_str().to_owned(),
        role: *role,
        size_bytes: file.size_bytes,
        digest: file.digest.clone(),
        present_bytes: present(&repository, downloader, &listing.commit, file),
    };
    let is_snapshot = chosen.format == ModelFormat::Safetensors;
    Ok(PullPlan {
        reference: reference.clone(),
        revision: listing.commit.as_str().to_owned(),
        format: chosen.format,
        quantisation: chosen.quantisation.clone(),
        architecture: listing.architecture.clone(),
        licence: listing.licence.clone(),
        gated: listing.gated,
        // A GGUF file brings no code along, whatever lies beside it.
        needs_remote_code: listing.needs_remote_code && is_snapshot,
        files: chosen.files.iter().map(planned).collect(),
    })
}

/// Returns the bytes of a file that are on this machine.
fn present(repository: &CachedRepository, downloader: &Downloader, commit: &Commit, file: &ListedFile) -> u64 {
    if is_here(repository, commit, file) {
        return file.size_bytes.unwrap_or(0);
    }
    match &file.digest {
        Some(digest) => {
            let target = FetchTarget { path: repository.blob(digest), lock: repository.lock(digest) };
            let found = downloader.present_bytes(&target);
            // A whole file of another length is not what is wanted.
            if file.size_bytes.is_some_and(|size| found >= size) { 0 } else { found }
        }
        None => 0,
    }
}

/// Whether a file is here: in the snapshot, or as a blob that only has to be linked.
pub(super) fn is_here(repository: &CachedRepository, commit: &Commit, file: &ListedFile) -> bool {
    in_snapshot(repository, commit, file) || has_blob(repository, file)
}

/// Whether the snapshot has a file, in the length that is wanted: a link to the right blob, or a file without one.
pub(super) fn in_snapshot(repository: &CachedRepository, commit: &Commit, file: &ListedFile) -> bool {
    let wanted = file.digest.as_ref().map(FileDigest::as_str);
    let fits = |found: &super::cache::CachedFile| {
        let content = found.blob.as_deref().is_none_or(|blob| Some(blob) == wanted);
        content && file.size_bytes.is_none_or(|size| size == found.size_bytes)
    };
    repository.find(commit, &file.name).ok().flatten().is_some_and(|found| fits(&found))
}

/// Whether the content of a file is here.
pub(super) fn has_blob(repository: &CachedRepository, file: &ListedFile) -> bool {
    let Some(digest) = &file.digest else { return false };
    let found = repository.blob_bytes(digest).ok().flatten();
    found.is_some_and(|found| file.size_bytes.is_none_or(|size| size == found))
}

/// Lists the models of a repository: its quantisations, and the snapshot.
pub(super) fn variants(reference: &ModelReference, listing: &Listing) -> Vec<Variant> {
    let bytes = |files: &[&ListedFile]| files.iter().filter_map(|file| file.size_bytes).fold(0, u64::saturating_add);
    let all = groups(&listing.files);
    let complete = all.iter().filter(|group| group.missing.is_none());
    let mut found: Vec<Variant> = complete
        .map(|group| Variant {
            reference: with_selector(reference, &selector_of(group, &all)),
            quantisation: group.quantisation.clone(),
            bytes: bytes(&group.parts),
        })
        .collect();
    if let Ok(snapshot) = snapshot::choose(listing) {
        let weights: Vec<&ListedFile> =
            snapshot.files.iter().filter(|(_, role)| *role == FileRole::Weights).map(|(file, _)| *file).collect();
        found.push(Variant { reference: with_selector(reference, "safetensors"), quantisation: None, bytes: bytes(&weights) });
    }
    found.sort_by_key(|variant| variant.bytes);
    found
}

impl CheckedPlan {
    /// Checks a plan again.
    pub(super) fn of(plan: &PullPlan) -> Result<Self, ProviderError> {
        let refused = |reason: String| ProviderError::Refused {
            reference: plan.reference.clone(),
            reason,
            hint: Some("ask the hub again: `orch model pull` makes a new plan".to_owned()),
        };
        let commit =
            Commit::parse(&plan.revision).ok_or_else(|| refused(format!("`{}` is no commit", super::path::shown(&plan.revision))))?;
        let checked = |file: &PlannedFile| {
            let name = RepositoryPath::try_new(&file.name).map_err(|error| refused(error.to_string()))?;
            let digest = match &file.digest {
                Some(FileDigest::Sha256(digest)) => FileDigest::Sha256(digest.clone()),
                Some(FileDigest::GitBlob(digits)) => FileDigest::try_git_blob(digits).map_err(|error| refused(error.to_string()))?,
                _ => return Err(refused(format!("the hub tells no digest of `{}`", file.name))),
            };
            let listed = ListedFile { name, size_bytes: file.size_bytes, digest: Some(digest.clone()) };
            Ok(CheckedFile { listed, digest, role: file.role })
        };
        let files = plan.files.iter().map(checked).collect::<Result<Vec<_>, _>>()?;
        if files.is_empty() {
            return Err(refused("the plan has no files".to_owned()));
        }
        Ok(Self { commit, files })
    }
}

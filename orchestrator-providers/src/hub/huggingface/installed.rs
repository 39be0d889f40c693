//! What is in the cache, as models: found by a reference, listed, and removed. Nothing here asks the hub. Blocks.

use std::io;

use orchestrator_core::model::{FileDigest, FileRole, InstalledModel, ModelFile, ModelFormat, ModelReference};
use orchestrator_core::provider::ProviderError;

use super::Wanted;
use super::cache::{Cache, CachedRepository, MAIN};
use super::choose::{ChoiceError, Chosen, choose, groups};
use super::explain::unchosen;
use super::listing::{Commit, Listing};
use super::path::RepositoryPath;
use crate::hub::look::{self, LookError};

/// Finds a model in the cache: at the revision that is named, or else at the main branch, or in the newest snapshot that
/// has it.
pub(super) fn locate(cache: &Cache, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
    let wanted = Wanted::of(reference)?;
    let repository = cache.repository(wanted.repository);
    let mut ambiguous = None;
    for commit in candidates(&repository, wanted.revision) {
        let listing = complete_listing(&repository, &commit);
        match choose(&listing, wanted.selector) {
            Ok(chosen) => return describe(&repository, reference, &listing, &chosen),
            Err(error @ ChoiceError::Ambiguous { .. }) => ambiguous = ambiguous.or(Some(error)),
            Err(_) => {}
        }
    }
    match ambiguous {
        Some(error) => Err(unchosen(reference, error)),
        None => Err(refuse_links(&repository, reference).unwrap_or_else(|| ProviderError::NotInstalled { reference: reference.clone() })),
    }
}

/// Finds a model at a commit; `first` names the first file of its weights.
pub(super) fn at_commit(
    cache: &Cache,
    reference: &ModelReference,
    commit: &Commit,
    first: Option<&str>,
) -> Result<InstalledModel, ProviderError> {
    let wanted = Wanted::of(reference)?;
    let repository = cache.repository(wanted.repository);
    let listing = complete_listing(&repository, commit);
    let is_gguf = first.is_some_and(|name| crate::hub::split::without_ending(name).is_some());
    let selector = if is_gguf { first } else { Some("safetensors") };
    let chosen = choose(&listing, selector).map_err(|error| unchosen(reference, error))?;
    describe(&repository, reference, &listing, &chosen)
}

/// Returns the commits that a revision can mean here, the best one first.
fn candidates(repository: &CachedRepository, revision: Option<&str>) -> Vec<Commit> {
    let Some(revision) = revision else {
        let main = repository.commit_of(MAIN);
        let others = repository.snapshots().into_iter().filter(|commit| Some(commit) != main.as_ref());
        return main.iter().cloned().chain(others).collect();
    };
    repository.commit_of(revision).into_iter().collect()
}

/// Lists a snapshot without the models of which parts are missing: those are not installed.
fn complete_listing(repository: &CachedRepository, commit: &Commit) -> Listing {
    let mut listing = repository.listing(commit);
    let incomplete: Vec<RepositoryPath> = groups(&listing.files)
        .iter()
        .filter(|group| group.missing.is_some())
        .flat_map(|group| group.parts.iter().map(|file| file.name.clone()))
        .collect();
    listing.files.retain(|file| !incomplete.contains(&file.name));
    listing
}

/// Says so where a model is not found because its files lead out of the cache.
fn refuse_links(repository: &CachedRepository, reference: &ModelReference) -> Option<ProviderError> {
    let wanted = Wanted::of(reference).ok()?;
    let name = RepositoryPath::try_new(wanted.selector?).ok()?;
    let error = candidates(repository, wanted.revision).iter().find_map(|commit| repository.find(commit, &name).err())?;
    (error.kind() == io::ErrorKind::InvalidData).then(|| ProviderError::Refused {
        reference: reference.clone(),
        reason: error.to_string(),
        hint: Some("remove that link, and pull the model again".to_owned()),
    })
}

/// Reads the header of what was chosen.
fn describe(
    repository: &CachedRepository,
    reference: &ModelReference,
    listing: &Listing,
    chosen: &Chosen<'_>,
) -> Result<InstalledModel, ProviderError> {
    let folder = repository.snapshot(&listing.commit);
    let file = |(file, _): &(&super::listing::ListedFile, FileRole)| ModelFile {
        path: file.name.below(&folder),
        size_bytes: file.size_bytes.unwrap_or(0),
        sha256: match &file.digest {
            Some(FileDigest::Sha256(digest)) => Some(digest.clone()),
            _ => None,
        },
    };
    let files: Vec<ModelFile> = chosen.files.iter().map(file).collect();
    let not_installed = || ProviderError::NotInstalled { reference: reference.clone() };
    let first = files.first().ok_or_else(not_installed)?;
    let mut model = if chosen.format == ModelFormat::Safetensors {
        look::safetensors(reference, &folder, files)?
    } else {
        let model = look::gguf(reference, &first.path).map_err(|error| match error {
            LookError::Gguf(error) => ProviderError::Invalid {
                path: first.path.clone(),
                reason: error.to_string(),
                hint: Some("it was damaged on this machine, or at its source: remove the model and pull it again".to_owned()),
            },
            LookError::Said(error) => error,
        })?;
        InstalledModel { size_bytes: look::sum(&files), files, ..model }
    };
    model.revision = Some(listing.commit.as_str().to_owned());
    model.licence.clone_from(&listing.licence);
    let projector = chosen.files.iter().find(|(_, role)| *role == FileRole::Projector);
    model.projector = projector.map(|(file, _)| file.name.below(&folder));
    Ok(model)
}

/// Lists the models of the cache. What cannot be read is left out.
pub(super) fn list(cache: &Cache) -> Vec<InstalledModel> {
    let looked = cache.models().into_iter().map(|found| {
        let reference = ModelReference::HuggingFace { repository: found.repository, revision: found.revision, selector: found.selector };
        locate(cache, &reference)
    });
    let mut models = Vec::new();
    for result in looked {
        match result {
            Ok(model) => models.push(model),
            Err(error) => tracing::debug!(%error, "a file in the cache is no model"),
        }
    }
    models
}

/// Removes a model from the cache, and what only it used.
pub(super) fn remove(cache: &Cache, model: &InstalledModel) -> Result<u64, ProviderError> {
    let wanted = Wanted::of(&model.reference)?;
    let repository = cache.repository(wanted.repository);
    let commit = match model.revision.as_deref().and_then(Commit::parse) {
        Some(commit) => commit,
        None => locate(cache, &model.reference)?.revision.as_deref().and_then(Commit::parse).ok_or_else(|| not_ours(model))?,
    };
    let listing = repository.listing(&commit);
    let names = names_of(&repository, &commit, model)?;
    let gone = removable(&listing, &names);
    repository.remove(&commit, &gone).map_err(|source| ProviderError::Store {
        action: "removing from",
        path: repository.folder().to_path_buf(),
        source,
    })
}

/// Returns the names of a model's files in its snapshot.
fn names_of(repository: &CachedRepository, commit: &Commit, model: &InstalledModel) -> Result<Vec<RepositoryPath>, ProviderError> {
    let folder = repository.snapshot(commit);
    let paths = model.files.iter().map(|file| &file.path);
    let alone = model.files.is_empty().then_some(&model.path);
    let name = |path: &std::path::PathBuf| {
        let name = path.strip_prefix(&folder).ok().and_then(|name| name.to_str()).and_then(|name| RepositoryPath::try_new(name).ok());
        name.ok_or_else(|| not_ours(model))
    };
    paths.chain(alone).map(name).collect()
}

fn not_ours(model: &InstalledModel) -> ProviderError {
    ProviderError::Refused {
        reference: model.reference.clone(),
        reason: "its files are not in the cache of Hugging Face".to_owned(),
        hint: Some("remove them by hand, if they are meant to go".to_owned()),
    }
}

/// Returns what can go: not what another model of the same snapshot needs too, such as a projector or the card.
fn removable(listing: &Listing, names: &[RepositoryPath]) -> Vec<RepositoryPath> {
    let mut rest = listing.clone();
    let is_weights = |name: &RepositoryPath| {
        let is_gguf = crate::hub::split::without_ending(name.as_str()).is_some() && !super::choose::is_projector(name);
        is_gguf || name.as_str().ends_with(".safetensors")
    };
    rest.files.retain(|file| !(names.contains(&file.name) && is_weights(&file.name)));
    let mut needed: Vec<RepositoryPath> = Vec::new();
    for group in groups(&rest.files) {
        let selector = group.parts.first().map(|file| file.name.as_str());
        if let Ok(chosen) = choose(&rest, selector) {
            needed.extend(chosen.files.iter().map(|(file, _)| file.name.clone()));
        }
    }
    if let Ok(chosen) = choose(&rest, Some("safetensors")) {
        needed.extend(chosen.files.iter().map(|(file, _)| file.name.clone()));
    }
    names.iter().filter(|name| !needed.contains(name)).cloned().collect()
}

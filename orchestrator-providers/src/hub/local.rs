//! The provider `local`: model files of this machine.
//!
//! Owns: turning a path into an [`InstalledModel`], the words when that fails, and the files in the store of the home. Files
//! elsewhere are used where they are, and never copied or removed. Does not own: the file formats.

mod import;
mod plan;
mod remove;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use orchestrator_core::error::Coded;
use orchestrator_core::model::gguf::GgufError;
use orchestrator_core::model::{InstalledModel, ModelFile, ModelHeader, ModelReference, PullPlan};
use orchestrator_core::provider::{ImportMode, ModelImport, ProviderError, ProviderKind, PullWatch};
use orchestrator_core::{Paths, Provider};

use super::look::{self, LookError};

/// Model files of this machine.
#[derive(Debug, Clone)]
pub struct LocalModels {
    models_dir: PathBuf,
}

/// How many names a message shows.
const MOST_NAMES: usize = 5;
/// How many entries of one folder are looked at.
const MOST_ENTRIES: usize = 10_000;
/// How many folders below the store are looked into.
const DEEPEST: usize = 4;
/// The ending of the files.
const ENDING: &str = "gguf";
/// The ending of the other files.
const SAFETENSORS: &str = "safetensors";

impl LocalModels {
    /// Lists the models in the store of a home; a reference may name any file.
    #[must_use]
    pub fn in_home(paths: &Paths) -> Self {
        Self { models_dir: paths.models_dir() }
    }
}

#[async_trait]
impl Provider for LocalModels {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
        let Some(path) = reference.as_file() else { return Err(other_provider(reference)) };
        let (owned, path) = (reference.clone(), path.to_path_buf());
        blocking(reference, move || look_at(&owned, &path)).await
    }

    async fn resolve(&self, reference: &ModelReference) -> Result<PullPlan, ProviderError> {
        let model = self.locate(reference).await?;
        blocking(reference, move || Ok(plan::of(&model))).await
    }

    async fn header(&self, plan: &PullPlan) -> Result<ModelHeader, ProviderError> {
        let model = self.locate(&plan.reference).await?;
        let path = model.path.clone();
        blocking(&plan.reference, move || {
            ModelHeader::read(&model).map_err(|error| ProviderError::Invalid { path, hint: error.hint(), reason: error.to_string() })
        })
        .await
    }

    async fn pull(&self, plan: &PullPlan, _: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        self.locate(&plan.reference).await
    }

    async fn remove(&self, model: &InstalledModel) -> Result<u64, ProviderError> {
        let (folder, owned) = (self.models_dir.clone(), model.clone());
        blocking(&model.reference, move || remove::from_store(&folder, &owned)).await
    }

    async fn import(&self, import: &ModelImport, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        let reference = ModelReference::File { path: import.path.clone() };
        let model = self.locate(&reference).await?;
        match import.mode {
            ImportMode::InPlace => Ok(model),
            ImportMode::Copy => {
                let copied = import::copy(&model, &self.models_dir, watch).await?;
                let reference = ModelReference::File { path: copied.path };
                Ok(InstalledModel { files: copied.files, ..self.locate(&reference).await? })
            }
        }
    }

    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError> {
        let folder = self.models_dir.clone();
        let listed = tokio::task::spawn_blocking(move || list(&folder)).await;
        Ok(listed.unwrap_or_default())
    }
}

/// Does something that blocks, off the threads that serve.
async fn blocking<T: Send + 'static>(
    reference: &ModelReference,
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ProviderError::Unreadable { reference: reference.clone(), source: io::Error::other(error) }))
}

fn other_provider(reference: &ModelReference) -> ProviderError {
    let provider = ProviderKind::of(reference).as_str();
    let hint = "files of this machine are named with `file:/path/model.gguf`".to_owned();
    ProviderError::Unavailable { reference: reference.clone(), provider, hint }
}

/// Looks at a model file, or at a folder that is a model.
fn look_at(reference: &ModelReference, path: &Path) -> Result<InstalledModel, ProviderError> {
    if path.is_dir() && look::is_safetensors(path) {
        return look::safetensors(reference, path, files_of(path));
    }
    if path.extension().is_some_and(|ending| ending == SAFETENSORS) && path.is_file() {
        let folder = path.parent().unwrap_or(path).display();
        let reason = "it is a part of a model in the format safetensors".to_owned();
        let hint = Some(format!("name its folder: `file:{folder}`"));
        return Err(ProviderError::Invalid { path: path.to_path_buf(), reason, hint });
    }
    look::gguf(reference, path).map_err(|error| match error {
        LookError::Gguf(error) => refuse(reference, path, error),
        LookError::Said(error) => error,
    })
}

/// Lists the files of a model that is a folder: all of its own, and those of its modules one folder below.
fn files_of(folder: &Path) -> Vec<ModelFile> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_ENTRIES).collect::<Vec<_>>();
    let modules = entries(folder).into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let modules = modules.filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit));
    let all = entries(folder).into_iter().chain(modules.flat_map(|entry| entries(&entry.path())));
    let visible = all.filter(|entry| entry.file_name().as_encoded_bytes().first() != Some(&b'.'));
    let mut files: Vec<ModelFile> = visible
        .filter_map(|entry| {
            let path = entry.path();
            let found = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            Some(ModelFile { path, size_bytes: found.len(), sha256: None })
        })
        .collect();
    let is_weights = |file: &ModelFile| file.path.extension().is_some_and(|ending| ending == SAFETENSORS);
    files.sort_by(|a, b| is_weights(b).cmp(&is_weights(a)).then_with(|| a.path.cmp(&b.path)));
    files
}

/// Says why a file is no model, and what may be meant instead.
fn refuse(reference: &ModelReference, path: &Path, error: GgufError) -> ProviderError {
    match error {
        GgufError::Missing => ProviderError::NotFound { reference: reference.clone(), nearest: nearest(path) },
        GgufError::Unreadable { source } => ProviderError::Unreadable { reference: reference.clone(), source },
        GgufError::Directory => directory(path),
        other => ProviderError::Invalid { path: path.to_path_buf(), hint: other.hint(), reason: other.to_string() },
    }
}

fn directory(path: &Path) -> ProviderError {
    let mut inside: Vec<_> = model_files(path).iter().map(|file| format!("`{}`", file.display())).collect();
    let more = inside.len().saturating_sub(MOST_NAMES);
    inside.truncate(MOST_NAMES);
    if more > 0 {
        inside.push(format!("{more} more"));
    }
    let hint = match inside.len() {
        0 => "there is no GGUF file in it, and no `config.json` with safetensors files; name a `.gguf` file".to_owned(),
        _ => format!("name one of the GGUF files in it: {}", inside.join(", ")),
    };
    ProviderError::Invalid { path: path.to_path_buf(), reason: "it is a directory, not a file".to_owned(), hint: Some(hint) }
}

/// Returns the GGUF files of a folder, in the order of their names. What cannot be read is left out.
fn model_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_ENTRIES);
    let is_model = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(ENDING)) && path.is_file();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_model).collect();
    files.sort();
    files
}

/// Returns the model files whose names are nearest to that of a file that is not there.
fn nearest(path: &Path) -> Vec<String> {
    const NEAR: f64 = 0.6;
    let wanted = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let Some(folder) = path.parent() else { return Vec::new() };
    let likeness = |file: &PathBuf| strsim::jaro_winkler(&wanted, &file.file_name().unwrap_or_default().to_string_lossy().to_lowercase());
    let mut near: Vec<_> =
        model_files(folder).into_iter().map(|file| (likeness(&file), file)).filter(|(likeness, _)| *likeness > NEAR).collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    near.into_iter().take(MOST_NAMES).map(|(_, file)| format!("`{}`", file.display())).collect()
}

/// Lists the models below a folder. Files that are no models, and parts after the first, are left out.
fn list(store: &Path) -> Vec<InstalledModel> {
    let mut found = Vec::new();
    let mut add = |path: &Path| match ModelReference::try_file(path).ok().map(|reference| look_at(&reference, path)) {
        Some(Ok(model)) => found.push(model),
        Some(Err(error)) => tracing::debug!(path = %path.display(), %error, "a file in the store is no model"),
        None => {}
    };
    let mut waiting = vec![(store.to_path_buf(), 0)];
    while let Some((next, depth)) = waiting.pop() {
        for file in model_files(&next) {
            add(&file);
        }
        if look::is_safetensors(&next) {
            add(&next);
        }
        if depth < DEEPEST {
            let entries = fs::read_dir(&next).into_iter().flatten().flatten().take(MOST_ENTRIES);
            // The kind of the entry itself: a link to a folder could lead in a circle.
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            waiting.extend(
                folders.map(|entry| entry.path()).filter(|folder| remove::is_ours(folder, store)).map(|folder| (folder, depth + 1)),
            );
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[cfg(test)]
mod tests;

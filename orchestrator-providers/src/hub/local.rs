//! The provider `local`: model files of this machine.
//!
//! Owns: turning a path into an [`InstalledModel`], and the words when that fails. Does not own: the file format.

mod import;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use orchestrator_core::error::Coded;
use orchestrator_core::model::gguf::{GgufError, GgufHeader};
use orchestrator_core::model::{InstalledModel, ModelDefaults, ModelFormat, ModelReference};
use orchestrator_core::provider::{ImportMode, ModelImport, ProviderError, ProviderKind, PullWatch};
use orchestrator_core::{Paths, Provider};

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
        let (reference, path) = (reference.clone(), path.to_path_buf());
        let failed = (reference.clone(), path.clone());
        let read = tokio::task::spawn_blocking(move || look_at(reference, &path)).await;
        read.unwrap_or_else(|error| Err(ProviderError::Unreadable { reference: failed.0, source: io::Error::other(error) }))
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

/// Hubs come later; until then a message says so instead of a reference that leads nowhere.
fn other_provider(reference: &ModelReference) -> ProviderError {
    let provider = ProviderKind::of(reference).as_str();
    let hint = "this version fetches no models; download the GGUF file and name it with `file:/path/model.gguf`".to_owned();
    ProviderError::Unavailable { reference: reference.clone(), provider, hint }
}

/// Reads the header of a model file.
fn look_at(reference: ModelReference, path: &Path) -> Result<InstalledModel, ProviderError> {
    let header = GgufHeader::read(path).map_err(|error| refuse(&reference, path, error))?;
    let invalid = |reason: String, hint: &str| ProviderError::Invalid { path: path.to_path_buf(), reason, hint: Some(hint.to_owned()) };
    let mut size_bytes = header.file_bytes;
    if let Some(split) = header.split().filter(|split| split.count > 1) {
        if split.number != 0 {
            let reason = format!("it is part {} of {} of a model", split.number + 1, split.count);
            return Err(invalid(reason, "name the first part; the others are found beside it"));
        }
        size_bytes = size_of_parts(path, split.count).map_err(|missing| {
            invalid(format!("the part `{missing}` of the model is missing"), "fetch all parts of the model into one folder")
        })?;
    }
    let Some(architecture) = header.architecture() else {
        return Err(invalid("its header names no architecture".to_owned(), "it may be an adapter or a vocabulary; name a whole model"));
    };
    Ok(InstalledModel {
        path: path.to_path_buf(),
        format: ModelFormat::Gguf,
        name: header.name().map(str::to_owned),
        architecture: architecture.to_owned(),
        quantisation: header.quantisation().map(str::to_owned),
        context_length: header.context_length(),
        parameters: header.parameter_count(),
        size_bytes,
        has_chat_template: header.has_chat_template(),
        files: Vec::new(),
        revision: None,
        licence: None,
        projector: None,
        defaults: ModelDefaults::default(),
        reference,
    })
}

/// Adds up the files of a model in several parts, named `…-00001-of-00003.gguf`. The error names a part that is missing.
fn size_of_parts(first: &Path, count: u64) -> Result<u64, String> {
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = name.strip_suffix(&format!("-00001-of-{count:05}.gguf")) else {
        return Err(format!("…-00002-of-{count:05}.gguf"));
    };
    let mut total: u64 = 0;
    for number in 1..=count {
        let part = format!("{stem}-{number:05}-of-{count:05}.gguf");
        match fs::metadata(first.with_file_name(&part)) {
            Ok(found) if found.is_file() => total = total.saturating_add(found.len()),
            _ => return Err(part),
        }
    }
    Ok(total)
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
        0 => "there is no GGUF file in it; name a `.gguf` file".to_owned(),
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
fn list(folder: &Path) -> Vec<InstalledModel> {
    let mut found = Vec::new();
    let mut waiting = vec![(folder.to_path_buf(), 0)];
    while let Some((next, depth)) = waiting.pop() {
        for file in model_files(&next) {
            let looked = ModelReference::try_file(&file).ok().map(|reference| look_at(reference, &file));
            match looked {
                Some(Ok(model)) => found.push(model),
                Some(Err(error)) => tracing::debug!(file = %file.display(), %error, "a file in the store is no model"),
                None => {}
            }
        }
        if depth < DEEPEST {
            let entries = fs::read_dir(&next).into_iter().flatten().flatten().take(MOST_ENTRIES);
            // The kind of the entry itself: a link to a folder could lead in a circle.
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            waiting.extend(folders.map(|entry| (entry.path(), depth + 1)));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[cfg(test)]
mod tests;

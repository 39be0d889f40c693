//! Removing models of this machine: only what lies in the store of the home.

use std::fs;
use std::io;
use std::path::Path;

use orchestrator_core::model::{InstalledModel, ModelFile};
use orchestrator_core::provider::ProviderError;

/// The folders of the store in which other providers keep what is theirs.
const OTHERS: [&str; 2] = ["huggingface", "ollama"];

/// Removes the files of a model that lie in the store of the home. Others belong to whoever put them there: they are only
/// forgotten.
pub(super) fn from_store(models_dir: &Path, model: &InstalledModel) -> Result<u64, ProviderError> {
    let Ok(store) = models_dir.canonicalize() else { return Ok(0) };
    let alone = ModelFile { path: model.path.clone(), size_bytes: model.size_bytes, sha256: None };
    let files = if model.files.is_empty() { std::slice::from_ref(&alone) } else { model.files.as_slice() };
    let mut freed = 0_u64;
    for file in files {
        // The folder is followed, the file is not: a link in the store goes, and what it leads to stays.
        let folder = file.path.parent().and_then(|folder| folder.canonicalize().ok());
        let Some(folder) = folder.filter(|folder| is_ours(folder, &store)) else { continue };
        let path = folder.join(file.path.file_name().unwrap_or_default());
        let failed = |source| ProviderError::Store { action: "removing", path: path.clone(), source };
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_dir() => {
                fs::remove_file(&path).map_err(failed)?;
                freed = freed.saturating_add(if found.is_symlink() { 0 } else { found.len() });
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => continue,
        }
        let mut empty = Some(folder.as_path()).filter(|folder| *folder != store);
        while let Some(folder) = empty.filter(|folder| fs::remove_dir(folder).is_ok()) {
            empty = folder.parent().filter(|folder| *folder != store);
        }
    }
    Ok(freed)
}

/// Whether a folder belongs to this provider: in the store, and not in what other providers keep there.
pub(super) fn is_ours(folder: &Path, store: &Path) -> bool {
    let Ok(rest) = folder.strip_prefix(store) else { return false };
    rest.iter().next().is_none_or(|first| !OTHERS.iter().any(|other| first == *other))
}

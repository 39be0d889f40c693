//! Looks at model files of this machine: what every provider says of a model once its files are here. Blocks.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use orchestrator_core::error::Coded;
use orchestrator_core::model::gguf::{GgufError, GgufHeader};
use orchestrator_core::model::installed::read_safetensors;
use orchestrator_core::model::{InstalledModel, ModelDefaults, ModelFile, ModelFormat, ModelReference};
use orchestrator_core::provider::ProviderError;

use super::split::{SplitName, part_name};

/// Why a model could not be looked at.
#[derive(Debug)]
pub(super) enum LookError {
    /// The file itself is no GGUF file.
    Gguf(GgufError),
    /// Something else is wrong, and said.
    Said(ProviderError),
}

/// How many parts of a model are looked into.
const MOST_PARTS: u64 = 1_000;

/// Reads the header of a GGUF model, in one file or several, of which `path` is the first.
pub(super) fn gguf(reference: &ModelReference, path: &Path) -> Result<InstalledModel, LookError> {
    let header = GgufHeader::read(path).map_err(LookError::Gguf)?;
    let invalid = |path: &Path, reason: String, hint: Option<String>| {
        LookError::Said(ProviderError::Invalid { path: path.to_path_buf(), reason, hint })
    };
    let mut files = vec![ModelFile { path: path.to_path_buf(), size_bytes: header.file_bytes, sha256: None }];
    let mut parameters = header.parameter_count();
    if let Some(split) = header.split().filter(|split| split.count > 1) {
        if split.number != 0 {
            let reason = format!("it is part {} of {} of a model", split.number + 1, split.count);
            return Err(invalid(path, reason, Some("name the first part; the others are found beside it".to_owned())));
        }
        for part in other_parts(path, split.count).map_err(|missing| {
            let reason = format!("the part `{missing}` of the model is missing");
            invalid(path, reason, Some("fetch all parts of the model into one folder".to_owned()))
        })? {
            let header = GgufHeader::read(&part).map_err(|error| invalid(&part, error.to_string(), error.hint()))?;
            parameters = parameters.saturating_add(header.parameter_count());
            files.push(ModelFile { path: part, size_bytes: header.file_bytes, sha256: None });
        }
    }
    let Some(architecture) = header.architecture() else {
        let hint = "it may be an adapter or a vocabulary; name a whole model".to_owned();
        return Err(invalid(path, "its header names no architecture".to_owned(), Some(hint)));
    };
    Ok(InstalledModel {
        path: path.to_path_buf(),
        format: ModelFormat::Gguf,
        name: header.name().map(str::to_owned),
        architecture: architecture.to_owned(),
        quantisation: header.quantisation().map(str::to_owned),
        context_length: header.context_length(),
        parameters,
        size_bytes: sum(&files),
        has_chat_template: header.has_chat_template(),
        files,
        revision: None,
        licence: None,
        projector: None,
        defaults: ModelDefaults::default(),
        reference: reference.clone(),
    })
}

/// Names the parts after the first, `…-00002-of-00003.gguf`. The error names the first that is missing.
fn other_parts(first: &Path, count: u64) -> Result<Vec<PathBuf>, String> {
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    let Some(split) = SplitName::of(&name).filter(|split| split.number == 1 && split.count == count && count <= MOST_PARTS) else {
        return Err(part_name("…", 2, count.min(99_999)));
    };
    let part = |number| {
        let name = split.part(number);
        let path = first.with_file_name(&name);
        if path.is_file() { Ok(path) } else { Err(name) }
    };
    (2..=count).map(part).collect()
}

/// Reads the headers of a model in the format safetensors, which is a folder.
pub(super) fn safetensors(reference: &ModelReference, folder: &Path, files: Vec<ModelFile>) -> Result<InstalledModel, ProviderError> {
    let model = read_safetensors(folder).map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        ProviderError::Invalid { path: folder.to_path_buf(), reason: format!("{error}{source}"), hint: error.hint() }
    })?;
    let Some(architecture) = model.architecture() else {
        let hint = Some("its `config.json` should have a `model_type`; fetch the whole model again".to_owned());
        return Err(ProviderError::Invalid {
            path: folder.to_path_buf(),
            reason: "its `config.json` names no architecture".to_owned(),
            hint,
        });
    };
    Ok(InstalledModel {
        path: folder.to_path_buf(),
        format: ModelFormat::Safetensors,
        name: None,
        architecture: architecture.to_owned(),
        quantisation: model.quantisation(),
        context_length: model.config.context_length,
        parameters: model.parameter_count(),
        size_bytes: sum(&files),
        has_chat_template: has_chat_template(folder),
        files,
        revision: None,
        licence: None,
        projector: None,
        defaults: ModelDefaults::default(),
        reference: reference.clone(),
    })
}

/// Whether a folder is a model in the format safetensors.
pub(super) fn is_safetensors(folder: &Path) -> bool {
    const MOST_ENTRIES: usize = 10_000;
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_ENTRIES);
    folder.join("config.json").is_file() && entries.any(|entry| entry.path().extension().is_some_and(|ending| ending == "safetensors"))
}

/// A chat template is a file of its own, or a field of the tokenizer's settings.
fn has_chat_template(folder: &Path) -> bool {
    const MOST: u64 = 32 << 20;
    if folder.join("chat_template.jinja").is_file() || folder.join("chat_template.json").is_file() {
        return true;
    }
    let Ok(file) = File::open(folder.join("tokenizer_config.json")) else { return false };
    let settings: serde_json::Value = serde_json::from_reader(std::io::BufReader::new(file.take(MOST))).unwrap_or_default();
    settings.get("chat_template").is_some_and(|template| !template.is_null())
}

/// Adds the lengths of files up.
pub(super) fn sum(files: &[ModelFile]) -> u64 {
    files.iter().map(|file| file.size_bytes).fold(0, u64::saturating_add)
}

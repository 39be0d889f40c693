//! Which files make up a model in the format safetensors: the weights, and what `transformers` and vLLM read beside them.
//!
//! Pickled weights are never among them, whatever is asked: loading them runs code.

use orchestrator_core::model::{FileRole, ModelFormat};

use super::choose::{ChoiceError, Chosen};
use super::listing::{ListedFile, Listing};
use super::path::RepositoryPath;

/// Where a model in several files says which tensor is in which.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// What describes the model.
pub(super) const CONFIG: &str = "config.json";
/// What describes an adapter.
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Endings of weights that run code, or may, when they are loaded.
const PICKLES: [&str; 11] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle", "h5", "msgpack", "onnx", "npz", "joblib"];
/// Endings of what is read beside the weights.
const SETTINGS: [&str; 7] = ["json", "txt", "model", "jinja", "tiktoken", "spm", "vocab"];
/// How many files the weights have at most.
const MOST_PARTS: usize = 10_000;

/// Puts the snapshot of a repository together.
pub(super) fn choose(listing: &Listing) -> Result<Chosen<'_>, ChoiceError> {
    let weights = weights(&listing.files)?;
    if weights.is_empty() {
        return Err(nothing(listing));
    }
    if listing.find(CONFIG).is_none() {
        let reason = "its safetensors files have no `config.json` beside them".to_owned();
        return Err(ChoiceError::Refused {
            reason,
            hint: Some("it may be a part of a larger model; use the repository of the whole model".to_owned()),
        });
    }
    let in_one = listing.find(INDEX).is_none() || weights.iter().all(|file| part_of(file.name.as_str()).is_none());
    let mut files: Vec<_> = weights.into_iter().map(|file| (file, FileRole::Weights)).collect();
    let beside = listing.files.iter().filter(|file| is_setting(&file.name, listing.needs_remote_code));
    files.extend(beside.filter(|file| !(in_one && file.name.as_str() == INDEX)).map(|file| (file, FileRole::Configuration)));
    files.extend(
        listing
            .files
            .iter()
            .filter(|file| is_module(&file.name) && ending(&file.name) == "safetensors")
            .map(|file| (file, FileRole::Weights)),
    );
    Ok(Chosen { format: ModelFormat::Safetensors, quantisation: None, files })
}

/// Chooses the weights: `model.safetensors`, or all its parts, or else what is there once.
fn weights(files: &[ListedFile]) -> Result<Vec<&ListedFile>, ChoiceError> {
    let at_root = |file: &&ListedFile| file.name.depth() == 0 && ending(&file.name) == "safetensors";
    let mut all: Vec<&ListedFile> = files.iter().filter(at_root).filter(|file| !file.name.as_str().starts_with("adapter_")).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let parts: Vec<&ListedFile> = all.iter().copied().filter(|file| part_of(file.name.as_str()).is_some()).collect();
    let Some((stem, _, count)) = parts.first().and_then(|file| part_of(file.name.as_str())) else {
        return Ok(whole(all));
    };
    if let Some(file) = all.iter().find(|file| file.name.as_str() == "model.safetensors") {
        return Ok(vec![file]);
    }
    if count > MOST_PARTS {
        let reason = format!("its weights claim to have {count} files");
        return Err(ChoiceError::Refused { reason, hint: None });
    }
    let found: Vec<&ListedFile> =
        parts.into_iter().filter(|file| part_of(file.name.as_str()).is_some_and(|part| (part.0, part.2) == (stem, count))).collect();
    let is_there = |number: usize| found.iter().any(|file| part_of(file.name.as_str()).is_some_and(|part| part.1 == number));
    match (1..=count).find(|number| !is_there(*number)) {
        Some(number) => Err(ChoiceError::PartMissing { name: format!("{stem}-{number:05}-of-{count:05}.safetensors") }),
        None => Ok(found),
    }
}

/// Of weights in one file each, what is there once: the model's own name first; `consolidated` holds the same again.
fn whole(all: Vec<&ListedFile>) -> Vec<&ListedFile> {
    if let Some(file) = all.iter().find(|file| file.name.as_str() == "model.safetensors") {
        return vec![file];
    }
    let is_original = |file: &&ListedFile| file.name.as_str().starts_with("consolidated");
    if all.iter().all(is_original) { all } else { all.into_iter().filter(|file| !is_original(file)).collect() }
}

/// Reads `…-00001-of-00003.safetensors`: the stem, the number and the count.
fn part_of(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, count) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten();
    let (number, count) = (digits(number)?, digits(count)?);
    (number >= 1 && number <= count && !stem.starts_with("consolidated")).then_some((stem, number, count))
}

/// What is read beside the weights: at the root, in the folders of modules that are numbered, and templates.
fn is_setting(name: &RepositoryPath, with_code: bool) -> bool {
    let place = name.depth() == 0 || is_module(name) || name.folder() == "additional_chat_templates";
    let code = with_code && name.depth() == 0 && ending(name) == "py";
    let excluded = name.as_str() == ADAPTER_CONFIG || name.as_str().starts_with("LICENSE") || name.as_str().starts_with("README");
    place && !excluded && !name.file_name().starts_with('.') && (code || SETTINGS.contains(&ending(name).as_str()))
}

/// A file in a folder such as `1_Pooling`, which models that make embeddings have.
fn is_module(name: &RepositoryPath) -> bool {
    name.depth() == 1
        && name.folder().split_once('_').is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a file holds weights that run code when they are loaded.
pub(super) fn is_pickle(name: &RepositoryPath) -> bool {
    PICKLES.contains(&ending(name).as_str())
}

fn ending(name: &RepositoryPath) -> String {
    name.file_name().rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default()
}

/// Says why a repository has no model for us.
fn nothing(listing: &Listing) -> ChoiceError {
    if listing.find(ADAPTER_CONFIG).is_some() {
        let of = listing.base_model.as_ref().map(|base| format!(" of `{base}`")).unwrap_or_default();
        let hint = "use a repository with the whole model: one into which the adapter was merged".to_owned();
        return ChoiceError::Refused { reason: format!("it is an adapter{of}, not a whole model"), hint: Some(hint) };
    }
    let hint = Some("look for the same model in the format GGUF or safetensors: `orch model search`".to_owned());
    match listing.files.iter().find(|file| is_pickle(&file.name)) {
        Some(file) => {
            let reason = format!("it has only weights such as `{}`, which run code when they are loaded", file.name.as_str());
            ChoiceError::Refused { reason, hint }
        }
        None => ChoiceError::Refused { reason: "it has no GGUF and no safetensors files".to_owned(), hint },
    }
}

#[cfg(test)]
mod tests;

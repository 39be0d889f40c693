//! The plan of a model that is on this machine already: nothing is left to be fetched.

use std::fs::File;
use std::path::Path;

use orchestrator_core::model::safetensors::{SafetensorsLimits, TransformersConfig};
use orchestrator_core::model::{FileRole, InstalledModel, ModelFile, ModelFormat, PlannedFile, PullPlan};

use super::SAFETENSORS;

/// The only version there is of a file of this machine.
const HERE: &str = "here";

/// Makes the plan of a model that is here: nothing is left to be fetched.
pub(super) fn of(model: &InstalledModel) -> PullPlan {
    let folder = if model.format == ModelFormat::Safetensors { Some(model.path.as_path()) } else { model.path.parent() };
    let planned = |file: &ModelFile| {
        let name = file.path.strip_prefix(folder.unwrap_or(Path::new("/"))).unwrap_or(&file.path).to_string_lossy().into_owned();
        let is_weights = model.format == ModelFormat::Gguf || name.ends_with(SAFETENSORS);
        PlannedFile {
            role: if is_weights { FileRole::Weights } else { FileRole::Configuration },
            size_bytes: Some(file.size_bytes),
            digest: None,
            present_bytes: file.size_bytes,
            name,
        }
    };
    PullPlan {
        reference: model.reference.clone(),
        revision: HERE.to_owned(),
        format: model.format,
        quantisation: model.quantisation.clone(),
        architecture: Some(model.architecture.clone()),
        licence: None,
        gated: false,
        needs_remote_code: needs_remote_code(model),
        files: model.files.iter().map(planned).collect(),
    }
}

/// Whether a folder's `config.json` names program code that the model brings along.
fn needs_remote_code(model: &InstalledModel) -> bool {
    let config = || {
        let file = File::open(model.path.join(TransformersConfig::FILE_NAME)).ok()?;
        TransformersConfig::read_from(file, &SafetensorsLimits::default()).ok()
    };
    model.format == ModelFormat::Safetensors && config().is_some_and(|config| config.needs_remote_code)
}

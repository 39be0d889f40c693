//! Whether a runtime and a device can run a model: decided before it is fetched, and again before it is started. Pure.
//!
//! Owns: what is known without asking an engine — formats, program code that a model brings along, pickled weights. Does not
//! own: what one engine knows of architectures; its [`crate::Runtime`] says that. An architecture that an engine is not known to have is
//! a warning and no refusal: engines learn.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FileRole, InstalledModel, ModelFormat, PullPlan};
use crate::error::{Coded, ErrorCode};
use crate::instance::spec::Backend;
use crate::runtime::RuntimeKind;

/// What of a model decides who can run it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelTraits {
    /// Its format, where it is one that is known.
    pub format: Option<ModelFormat>,
    /// Its architecture, where it is known.
    pub architecture: Option<String>,
    /// Its quantisation, where it is known.
    pub quantisation: Option<String>,
    /// Whether it can only be run with program code that it brings along.
    pub needs_remote_code: bool,
    /// A file of pickled weights, where its weights are such.
    pub pickle: Option<String>,
}

/// What is to run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTarget<'a> {
    /// The engine.
    pub runtime: RuntimeKind,
    /// The device.
    pub backend: Backend,
    /// The architectures that the engine is known to have; empty, where that is not known.
    pub architectures: &'a [&'a str],
}

/// Why a model cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Incompatibility {
    /// Its weights are pickled, which can run anything when they are read.
    #[error("its weights in `{file}` are pickled, and reading them can run any program code")]
    Pickle {
        /// The file.
        file: String,
    },
    /// It brings program code along that would have to be run.
    #[error("it can only be run with program code that it brings along, which is never run unasked")]
    RemoteCode,
    /// The engine does not read its format.
    #[error("`{}` runs {} files, and this is a model in {} files", runtime.as_str(), taken, found)]
    Format {
        /// The engine.
        runtime: RuntimeKind,
        /// The format that it takes.
        taken: &'static str,
        /// The format of the model.
        found: &'static str,
    },
    /// It is a part of a model.
    #[error("it is {what}, and no model of its own")]
    Part {
        /// What it is.
        what: &'static str,
    },
}

impl Coded for Incompatibility {
    fn code(&self) -> ErrorCode {
        ErrorCode::ModelIncompatible
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Pickle { .. } => "choose a repository with GGUF or safetensors files".to_owned(),
            Self::RemoteCode => "choose a model of an architecture that engines have, or a GGUF conversion of this one".to_owned(),
            Self::Format { found: SAFETENSORS, .. } => {
                "such models need the runtime `vllm`, which is not among those of this build; choose a GGUF conversion of the model"
                    .to_owned()
            }
            Self::Format { .. } => "choose another form of the model, or another `runtime`".to_owned(),
            Self::Part { .. } => "name the model that it belongs to".to_owned(),
        })
    }
}

/// What can be said of a model that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Compatible {
    /// What may go wrong all the same, each in a sentence.
    pub warnings: Vec<String>,
}

const SAFETENSORS: &str = "safetensors";
const GGUF: &str = "GGUF";
/// The endings of files of pickled weights.
const PICKLES: [&str; 7] = [".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".t7"];

/// Says whether a model can be run.
pub fn check(model: &ModelTraits, target: &RunTarget<'_>) -> Result<Compatible, Incompatibility> {
    if let Some(file) = &model.pickle {
        return Err(Incompatibility::Pickle { file: file.clone() });
    }
    let taken = format_of(target.runtime);
    if let Some(format) = model.format.filter(|format| *format != taken) {
        return Err(Incompatibility::Format { runtime: target.runtime, taken: name_of(taken), found: name_of(format) });
    }
    // A converted model runs with the engine's own code, whatever the original brings along.
    if model.needs_remote_code && model.format != Some(ModelFormat::Gguf) {
        return Err(Incompatibility::RemoteCode);
    }
    if let Some(what) = model.architecture.as_deref().and_then(part_named) {
        return Err(Incompatibility::Part { what });
    }
    Ok(Compatible { warnings: warnings(model, target) })
}

fn warnings(model: &ModelTraits, target: &RunTarget<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let runtime = target.runtime.as_str();
    if let Some(architecture) = &model.architecture
        && !target.architectures.is_empty()
        && !target.architectures.contains(&architecture.as_str())
    {
        warnings.push(format!("`{runtime}` is not known to have the architecture `{architecture}`: it needs an engine that is new enough"));
    }
    // Ternary numbers are computed by the processor alone.
    if let Some(quantisation) = model.quantisation.as_deref().filter(|name| name.starts_with("TQ"))
        && target.backend != Backend::Cpu
    {
        warnings.push(format!("{quantisation} may be slow or refused on {}: it was made for the processor", target.backend.as_str()));
    }
    warnings
}

/// Returns the engines that can run a model, of those that there are.
#[must_use]
pub fn compatible_runtimes(model: &ModelTraits) -> Vec<RuntimeKind> {
    let can_run = |runtime: &RuntimeKind| check(model, &RunTarget { runtime: *runtime, backend: Backend::Cpu, architectures: &[] }).is_ok();
    RuntimeKind::ALL.into_iter().filter(can_run).collect()
}

/// Returns the kinds of device that a model can be run on by an engine of this kind.
#[must_use]
pub fn compatible_devices(model: &ModelTraits, runtime: RuntimeKind) -> Vec<Backend> {
    let backends = [Backend::Cpu, Backend::Vulkan, Backend::Cuda, Backend::Metal, Backend::Rocm];
    let can_run = |backend: &Backend| {
        check(model, &RunTarget { runtime, backend: *backend, architectures: &[] }).is_ok_and(|found| found.warnings.is_empty())
    };
    backends.into_iter().filter(can_run).collect()
}

const fn format_of(runtime: RuntimeKind) -> ModelFormat {
    match runtime {
        RuntimeKind::LlamaCpp => ModelFormat::Gguf,
    }
}

const fn name_of(format: ModelFormat) -> &'static str {
    match format {
        ModelFormat::Gguf => GGUF,
        ModelFormat::Safetensors => SAFETENSORS,
    }
}

/// Names what a file is that has the form of a model and is none.
fn part_named(architecture: &str) -> Option<&'static str> {
    match architecture {
        "clip" | "mmproj" => Some("what lets a model see pictures (`mmproj`)"),
        "imatrix" => Some("what a quantiser measured"),
        "controlvector" => Some("a control vector"),
        _ => None,
    }
}

fn pickle_among<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<String> {
    let is_pickle = |name: &&str| {
        let name = name.to_ascii_lowercase();
        PICKLES.iter().any(|ending| name.ends_with(ending))
    };
    names.find(is_pickle).map(str::to_owned)
}

impl From<&PullPlan> for ModelTraits {
    fn from(plan: &PullPlan) -> Self {
        let weights = plan.files.iter().filter(|file| file.role == FileRole::Weights);
        Self {
            format: Some(plan.format),
            architecture: plan.architecture.clone(),
            quantisation: plan.quantisation.clone(),
            needs_remote_code: plan.needs_remote_code,
            pickle: pickle_among(weights.map(|file| file.name.as_str())),
        }
    }
}

impl From<&InstalledModel> for ModelTraits {
    fn from(model: &InstalledModel) -> Self {
        let name = model.path.file_name().unwrap_or_default().to_string_lossy();
        Self {
            format: Some(model.format),
            architecture: Some(model.architecture.clone()).filter(|architecture| !architecture.is_empty()),
            quantisation: model.quantisation.clone(),
            needs_remote_code: false,
            // A GGUF file was read as one, whatever its name.
            pickle: pickle_among(std::iter::once(name.as_ref())).filter(|_| model.format != ModelFormat::Gguf),
        }
    }
}

impl fmt::Display for Compatible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.warnings.join("; "))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const LLAMA: RunTarget<'static> =
        RunTarget { runtime: RuntimeKind::LlamaCpp, backend: Backend::Cpu, architectures: &["llama", "qwen3"] };

    fn gguf(architecture: &str) -> ModelTraits {
        ModelTraits { format: Some(ModelFormat::Gguf), architecture: Some(architecture.to_owned()), ..ModelTraits::default() }
    }

    #[test]
    fn what_can_run_runs_and_what_is_unknown_is_only_warned_of() {
        assert_eq!(check(&gguf("llama"), &LLAMA).unwrap().warnings, Vec::<String>::new());
        assert_eq!(check(&gguf("brand-new"), &LLAMA).unwrap().warnings.len(), 1);
        let ternary = ModelTraits { quantisation: Some("TQ1_0".to_owned()), ..gguf("llama") };
        assert_eq!(check(&ternary, &LLAMA).unwrap().warnings.len(), 0);
        assert_eq!(check(&ternary, &RunTarget { backend: Backend::Vulkan, ..LLAMA }).unwrap().warnings.len(), 1);
        assert_eq!(compatible_devices(&ternary, RuntimeKind::LlamaCpp), [Backend::Cpu]);
    }

    #[test]
    fn what_cannot_run_is_refused_with_a_reason_and_a_way_out() {
        let safetensors = ModelTraits { format: Some(ModelFormat::Safetensors), ..gguf("llama") };
        let cases = [
            (safetensors.clone(), "safetensors", "vllm"),
            (ModelTraits { pickle: Some("pytorch_model.bin".to_owned()), ..gguf("llama") }, "pickled", "GGUF"),
            (ModelTraits { format: None, needs_remote_code: true, ..gguf("own") }, "program code", "GGUF"),
            (gguf("clip"), "pictures", "belongs"),
        ];
        for (model, reason, way_out) in cases {
            let refused = check(&model, &LLAMA).unwrap_err();
            assert!(refused.to_string().contains(reason), "{refused}");
            assert!(refused.hint().unwrap().contains(way_out), "{:?}", refused.hint());
            assert!(compatible_runtimes(&model).is_empty());
        }
        assert_eq!(compatible_runtimes(&gguf("llama")), [RuntimeKind::LlamaCpp]);
    }

    #[test]
    fn code_of_the_original_does_not_matter_to_a_conversion() {
        let model = ModelTraits { needs_remote_code: true, ..gguf("llama") };
        assert!(check(&model, &LLAMA).is_ok());
    }
}

//! What building environments needs of the machine, for whoever wants to know before building.
//!
//! Owns: asking. The search is the one of a build, so that both find the same.

use std::path::PathBuf;

use orchestrator_core::operation::NoProgress;
use orchestrator_core::{ErrorCode, Problem};
use tokio_util::sync::CancellationToken;

use super::build::Bench;
use super::layout::EnvPaths;
use super::{python, recipe, tool};
use crate::runtime::find_llama_server;
use crate::settings::ProviderSettings;

/// A program that was found and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundProgram {
    /// Where it lies.
    pub path: PathBuf,
    /// Its version, such as `3.11.2`.
    pub version: String,
}

/// The programs of this machine that engines run on or are built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachinePrograms {
    /// The `llama-server` that instances without a program of their own use before an environment.
    pub llama_server: Option<PathBuf>,
    /// The Python that environments are built with, or why there is none.
    pub python: Result<FoundProgram, Problem>,
    /// The installer `uv`; `None` where it will be brought in.
    pub uv: Result<Option<FoundProgram>, Problem>,
}

/// Looks for the programs that engines run on or are built with. Starts each for its version, and changes nothing.
pub async fn find_programs(paths: &EnvPaths, settings: &ProviderSettings) -> MachinePrograms {
    let llama_server = find_llama_server(settings);
    let recipes = recipe::all();
    // The least any recipe is content with; whose key stands in messages makes no difference.
    let Some(recipe) = recipes.iter().min_by_key(|recipe| recipe.text.minimum_python) else {
        let problem = Problem::new(ErrorCode::EnvUnknown, "there is no recipe for an environment");
        return MachinePrograms { llama_server, python: Err(problem), uv: Ok(None) };
    };
    let cancel = CancellationToken::new();
    let bench = Bench { key: &recipe.text.key, progress: &NoProgress, cancel: &cancel, log: None, envs_dir: &paths.envs_dir };
    let python = python::find(&bench, settings, recipe.text.minimum_python).await;
    let python = python.map(|python| FoundProgram { path: python.path, version: python.full_version });
    let uv = tool::look_for_uv(&bench, settings, paths).await;
    MachinePrograms { llama_server, python: python.map_err(Problem::from), uv: uv.map_err(Problem::from) }
}

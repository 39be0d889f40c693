//! Finds the engine of an instance.

use std::path::{Path, PathBuf};

use orchestrator_core::EnvKey;
use orchestrator_core::env::{EnvError, EnvRegistry};
use orchestrator_core::instance::InstanceSpec;
use orchestrator_core::instance::spec::Backend;
use orchestrator_core::runtime::{Engine, RuntimeError};

use super::NAME;
use crate::env::{is_program, on_search_path};
use crate::settings::ProviderSettings;

/// The name of the engine's program.
const PROGRAM: &str = "llama-server";
/// The one environment that there is a recipe for.
pub(super) const CPU_ENVIRONMENT: &str = "llama-cpp-cpu";

/// Returns the environment an instance runs in when no program of its own is found.
pub(super) fn environment_key(spec: &InstanceSpec) -> Option<EnvKey> {
    match (&spec.engine.binary, &spec.env_key, spec.gpu.backend) {
        (None, Some(key), _) => Some(key.clone()),
        (None, None, Backend::Cpu) => EnvKey::try_new(CPU_ENVIRONMENT).ok(),
        (Some(_), _, _) | (None, None, Backend::Vulkan | Backend::Cuda | Backend::Metal | Backend::Rocm) => None,
    }
}

/// Finds the engine: the configured program, the configured environment, the search path, the environment that suits.
pub(super) async fn find(settings: &ProviderSettings, spec: &InstanceSpec, environments: &dyn EnvRegistry) -> Result<Engine, RuntimeError> {
    if let Some(binary) = &spec.engine.binary {
        check_configured(binary)?;
        return Ok(Engine::Binary { path: binary.clone() });
    }
    if spec.env_key.is_none()
        && let Some(path) = find_on_search_path(settings)
    {
        return Ok(Engine::Binary { path });
    }
    let Some(key) = environment_key(spec) else {
        let backend = spec.gpu.backend.as_str();
        return Err(RuntimeError::EngineNotFound {
            runtime: NAME,
            reason: format!("`{PROGRAM}` is in no folder of the search path, and there is no environment for `gpu.backend: {backend}`"),
            hint: format!(
                "install a `{PROGRAM}` that was built for {backend} and put it on the search path or name it in `engine.binary`; \
                 or set `gpu.backend: cpu`"
            ),
        });
    };
    match environments.find(&key).await {
        Ok(environment) => Ok(Engine::Environment(environment)),
        Err(EnvError::NotInstalled { .. }) if spec.env_key.is_none() => Err(RuntimeError::EngineNotFound {
            runtime: NAME,
            reason: format!("`{PROGRAM}` is in no folder of the search path, and the environment `{key}` is not installed"),
            hint: format!("run `orch env create {key}`, or name a `{PROGRAM}` in `engine.binary`"),
        }),
        Err(source) => Err(RuntimeError::Environment { runtime: NAME, source }),
    }
}

/// Finds the engine's program on the search path.
pub(crate) fn find_on_search_path(settings: &ProviderSettings) -> Option<PathBuf> {
    on_search_path(&settings.search_path, PROGRAM).into_iter().next()
}

/// Checks the program that a person named.
fn check_configured(binary: &Path) -> Result<(), RuntimeError> {
    let unusable = |reason: String| Err(RuntimeError::EngineUnusable { path: binary.to_path_buf(), reason });
    match std::fs::metadata(binary) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(RuntimeError::EngineNotFound {
            runtime: NAME,
            reason: format!("`engine.binary` names `{}`, which does not exist", binary.display()),
            hint: format!("check the path, or take `engine.binary` out to let `{PROGRAM}` be looked for"),
        }),
        Err(error) => unusable(error.to_string()),
        Ok(found) if found.is_dir() => unusable(format!("it is a directory; name the program inside it, such as `{PROGRAM}`")),
        Ok(found) if !found.is_file() => unusable("it is not a regular file".to_owned()),
        Ok(_) if !is_program(binary) => unusable("it is not executable".to_owned()),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;

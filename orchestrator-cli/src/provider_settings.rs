//! What providers are told about the surroundings: they read no environment variables themselves.

use std::path::PathBuf;

use orchestrator_providers::ProviderSettings;

use crate::env_vars;

/// The search path when there is none.
const DEFAULT_SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Reads the environment.
#[must_use]
pub(crate) fn from_environment() -> ProviderSettings {
    let search_path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_SEARCH_PATH.into());
    ProviderSettings {
        search_path: std::env::split_paths(&search_path).collect(),
        python: env_vars::PYTHON.read().map(PathBuf::from),
        uv: env_vars::UV.read().map(PathBuf::from),
    }
}

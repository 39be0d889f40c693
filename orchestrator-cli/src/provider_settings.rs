//! What providers are told about the surroundings: they read no environment variables themselves.

use std::ffi::OsString;

use etcetera::BaseStrategy as _;
use orchestrator_providers::ProviderSettings;

use crate::env_vars;

/// The search path when there is none.
const DEFAULT_SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Reads the environment.
#[must_use]
pub(crate) fn from_environment() -> ProviderSettings {
    let caches = etcetera::choose_base_strategy().ok().map(|strategy| strategy.cache_dir());
    ProviderSettings::from_variables(&variable, caches.as_deref())
}

fn variable(name: &str) -> Option<OsString> {
    match name {
        "PATH" => Some(std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_SEARCH_PATH.into())),
        // Where Ollama keeps a person's models, when its own variable does not say.
        "HOME" => std::env::var_os("HOME"),
        // Only what the help tells people of. Those of proxies are found in small letters too.
        _ => {
            let known = env_vars::ALL.iter().any(|known| known.name.eq_ignore_ascii_case(name));
            std::env::var_os(name).filter(|value| known && !value.is_empty())
        }
    }
}

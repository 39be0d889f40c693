//! What providers are told about their surroundings. Nothing in this crate reads the environment: a frontend hands over
//! what it finds there, and here it is decided which variables mean what.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use orchestrator_core::config::DaemonConfig;

/// The longest token that is read from a file, in bytes.
const LONGEST_TOKEN: usize = 4_096;

/// Where an Ollama that is a service of the system keeps its models.
const STORES_OF_SERVICES: [&str; 3] = ["/usr/share/ollama/.ollama/models", "/var/lib/ollama/.ollama/models", "/var/lib/ollama"];

/// What a frontend knows about its surroundings. Nothing in this crate reads the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderSettings {
    /// The folders in which programs are looked for, in their order (`PATH`).
    pub search_path: Vec<PathBuf>,
    /// The Python that environments are built with, when it is not to be looked for.
    pub python: Option<PathBuf>,
    /// The installer `uv`, when it is not to be looked for.
    pub uv: Option<PathBuf>,
    /// Where Hugging Face is, and where its files are kept.
    pub hugging_face: HuggingFaceSettings,
    /// Where Ollama and its library are.
    pub ollama: OllamaSettings,
    /// Through whom the internet is reached.
    pub proxies: ProxySettings,
    /// How many connections one file is fetched over (`models.connections`); eight, when it is left out.
    pub connections: Option<NonZeroU32>,
}

/// Through whom the internet is reached (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, or in small letters). This
/// machine itself never is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ProxySettings {
    /// The proxy for addresses with https.
    pub https: Option<String>,
    /// The proxy for addresses with http.
    pub http: Option<String>,
    /// The proxy for both.
    pub all: Option<String>,
    /// The names and networks that are reached without one, with commas between.
    pub no_proxy: Option<String>,
}

impl std::fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A proxy's address may hold a password.
        let given = |proxy: &Option<String>| proxy.is_some();
        f.debug_struct("ProxySettings")
            .field("https", &given(&self.https))
            .field("http", &given(&self.http))
            .field("all", &given(&self.all))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

impl ProxySettings {
    fn from_variables(text: &dyn Fn(&str) -> Option<String>) -> Self {
        let either = |large: &str, small: &str| text(small).or_else(|| text(large));
        Self {
            https: either("HTTPS_PROXY", "https_proxy"),
            http: either("HTTP_PROXY", "http_proxy"),
            all: either("ALL_PROXY", "all_proxy"),
            no_proxy: either("NO_PROXY", "no_proxy"),
        }
    }
}

/// Where Hugging Face is (`HF_ENDPOINT`), who we are there (`HF_TOKEN`), and where its files are kept (`HF_HUB_CACHE`,
/// `HF_HOME`).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HuggingFaceSettings {
    /// The address of the hub; `https://huggingface.co`, when it is left out.
    pub endpoint: Option<String>,
    /// The token. Never shown and never sent to another host.
    pub token: Option<String>,
    /// The folder of the standard cache (`…/huggingface/hub`), which Python shares. In the home, when it is left out.
    pub cache: Option<PathBuf>,
}

impl std::fmt::Debug for HuggingFaceSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("HuggingFaceSettings").field("endpoint", &self.endpoint).field("token", &token).field("cache", &self.cache).finish()
    }
}

/// Where Ollama and its library are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OllamaSettings {
    /// The address of a running Ollama (`OLLAMA_HOST`); `http://127.0.0.1:11434`, when it is left out.
    pub host: Option<String>,
    /// The address of the library's registry; `https://registry.ollama.ai`, when it is left out.
    pub registry: Option<String>,
    /// The address of the library's catalogue; `https://ollama.com`, when it is left out.
    pub catalogue: Option<String>,
    /// The folders in which an Ollama of this machine may keep its models (`OLLAMA_MODELS`, and the usual ones).
    pub stores: Vec<PathBuf>,
}

impl ProviderSettings {
    /// Takes over what the daemon's configuration says of downloads.
    #[must_use]
    pub fn with_config(mut self, config: &DaemonConfig) -> Self {
        self.connections = Some(config.models.connections);
        self
    }

    /// Takes the settings from variables, each read by `variable`; `caches` is the folder in which programs of this user keep
    /// what they can fetch again.
    #[must_use]
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<OsString>, caches: Option<&Path>) -> Self {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        Self {
            search_path: variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
            python: path("ORCH_PYTHON"),
            uv: path("ORCH_UV"),
            hugging_face: HuggingFaceSettings::from_variables(&path, &text, caches),
            ollama: OllamaSettings::from_variables(&path, &text),
            proxies: ProxySettings::from_variables(&text),
            connections: None,
        }
    }
}

impl HuggingFaceSettings {
    /// The same variables, folders and token file that Python's `huggingface_hub` uses, so that files and logins are shared.
    fn from_variables(path: &dyn Fn(&str) -> Option<PathBuf>, text: &dyn Fn(&str) -> Option<String>, caches: Option<&Path>) -> Self {
        let home = path("HF_HOME").or_else(|| Some(caches?.join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub")));
        let stored = || {
            let file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")))?;
            let token = std::fs::read_to_string(file).ok()?;
            let token = token.trim();
            (!token.is_empty() && token.len() <= LONGEST_TOKEN).then(|| token.to_owned())
        };
        Self { endpoint: text("HF_ENDPOINT"), token: text("HF_TOKEN").or_else(stored), cache }
    }
}

impl OllamaSettings {
    /// Ollama's own variable for its models names the only place; without it there are those that its packages use.
    fn from_variables(path: &dyn Fn(&str) -> Option<PathBuf>, text: &dyn Fn(&str) -> Option<String>) -> Self {
        let of_person = || path("HOME").map(|home| home.join(".ollama/models"));
        let usual = || of_person().into_iter().chain(STORES_OF_SERVICES.map(PathBuf::from)).collect();
        Self {
            host: text("OLLAMA_HOST"),
            registry: text("ORCH_OLLAMA_REGISTRY"),
            catalogue: text("ORCH_OLLAMA_CATALOGUE"),
            stores: path("OLLAMA_MODELS").map_or_else(usual, |folder| vec![folder]),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn settings(variables: &[(&str, &str)], caches: &Path) -> ProviderSettings {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        ProviderSettings::from_variables(&variable, Some(caches))
    }

    #[test]
    fn the_cache_and_the_token_are_those_of_python() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("huggingface")).unwrap();
        std::fs::write(folder.path().join("huggingface/token"), "hf_stored\n").unwrap();
        let found = settings(&[], folder.path()).hugging_face;
        assert_eq!(found.cache, Some(folder.path().join("huggingface/hub")));
        assert_eq!(found.token.as_deref(), Some("hf_stored"));
        let moved = settings(&[("HF_HOME", "/elsewhere"), ("HF_TOKEN", "hf_given")], folder.path()).hugging_face;
        assert_eq!((moved.cache, moved.token.as_deref()), (Some(PathBuf::from("/elsewhere/hub")), Some("hf_given")));
        let exact = settings(&[("HF_HOME", "/elsewhere"), ("HF_HUB_CACHE", "/exact")], folder.path()).hugging_face;
        assert_eq!((exact.cache, exact.token), (Some(PathBuf::from("/exact")), None));
    }

    #[test]
    fn a_token_is_never_shown() {
        let found = settings(&[("HF_TOKEN", "hf_secret")], Path::new("/nowhere"));
        assert!(!format!("{found:?}").contains("hf_secret"));
    }
}

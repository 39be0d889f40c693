//! Every environment variable that `orch` reads, in one table. No other crate reads any.

use std::ffi::OsString;

/// An environment variable.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, in one sentence of at most 50 characters a line.
    pub(crate) documentation: &'static str,
}

impl Variable {
    /// Reads it. An empty value counts as none.
    #[must_use]
    pub(crate) fn read(&self) -> Option<OsString> {
        std::env::var_os(self.name).filter(|value| !value.is_empty())
    }
}

macro_rules! variables {
    ($( $identifier:ident = $name:literal, $documentation:literal; )+) => {
        $(
            #[doc = $documentation]
            pub(crate) static $identifier: Variable = Variable { name: $name, documentation: $documentation };
        )+

        /// All of them, in the order of the help text.
        pub(crate) static ALL: &[&Variable] = &[$( &$identifier, )+];
    };
}

variables! {
    HOME = "ORCH_HOME", "The directory that everything is kept under.";
    HOST = "ORCH_HOST", "The URL of a daemon elsewhere.";
    API_KEY = "ORCH_API_KEY", "The key for a daemon elsewhere.";
    LOG = "ORCH_LOG", "What is logged, such as `debug` or `warn`.";
    UV = "ORCH_UV", "The program `uv` that builds environments.";
    PYTHON = "ORCH_PYTHON", "The Python that environments are built with.";
    HF_ENDPOINT = "HF_ENDPOINT", "The Hugging Face hub to use.";
    HF_TOKEN = "HF_TOKEN", "The token for Hugging Face.";
    HF_HOME = "HF_HOME", "Hugging Face's folder: `hub/` and `token`.";
    HF_TOKEN_PATH = "HF_TOKEN_PATH", "The file that holds that token.";
    HF_HUB_CACHE = "HF_HUB_CACHE", "The cache of Hugging Face's files.";
    OLLAMA_HOST = "OLLAMA_HOST", "The address of a running Ollama.";
    OLLAMA_MODELS = "OLLAMA_MODELS", "The folder of Ollama's models.";
    OLLAMA_REGISTRY = "ORCH_OLLAMA_REGISTRY", "The registry of Ollama's library.";
    OLLAMA_CATALOGUE = "ORCH_OLLAMA_CATALOGUE", "The site that lists Ollama's library.";
    HTTPS_PROXY = "HTTPS_PROXY", "The proxy for https; also in small letters.";
    HTTP_PROXY = "HTTP_PROXY", "The proxy for http; also in small letters.";
    ALL_PROXY = "ALL_PROXY", "The proxy for both; also in small letters.";
    NO_PROXY = "NO_PROXY", "What is reached without a proxy.";
    NO_COLOR = "NO_COLOR", "Prints no colours, whatever its value.";
}

//! The Ollama library: through a running Ollama, its command line, or straight from its registry.
//!
//! ```text
//!            API answers, its files can be read ──► Ollama pulls, into its own store
//!  pull ──►  no API, `ollama` on the search path ─► the command pulls, into Ollama's store
//!            neither, or its files are not for us ► registry ─► our own store, `models/ollama`
//! ```
//! Which way is taken, and why an earlier one was passed over, is said in the progress and in the log. Whatever the way, what
//! is run is the GGUF file among the blobs, as it is.
//!
//! Owns: the choice, and what a reference of the library means on this machine. Does not own: Ollama itself, which is never
//! started, stopped or configured, and whose files are never touched by hand.

mod address;
mod catalogue;
mod command;
mod daemon;
mod defaults;
pub mod manifest;
mod model_file;
mod name;
mod places;
mod pull;
mod pulling;
mod realm;
mod registry;
mod resolve;
mod store;
mod template;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use orchestrator_core::model::{InstalledModel, ModelHeader, ModelReference, PullPlan, Sha256Digest};
use orchestrator_core::provider::{ModelQuery, ProviderError, ProviderKind, PullWatch, SearchResults};
use orchestrator_core::{Paths, Provider};

use crate::download::{DownloadSettings, Downloader, HttpClient, HttpSettings};
use crate::settings::ProviderSettings;
use address::Addresses;
use catalogue::CatalogueKeeper;
use command::Command;
use daemon::Daemon;
use name::LibraryName;
use registry::{FoundManifest, Registry};
use store::Store;

/// How many manifests are remembered between asking for one and pulling what it names.
const REMEMBERED: usize = 32;

/// The Ollama library.
#[derive(Debug, Clone)]
pub struct OllamaModels {
    settings: ProviderSettings,
    own: Store,
    /// What is needed to ask anyone, or why nobody can be asked.
    remote: Result<Remote, String>,
    remembered: Arc<Mutex<VecDeque<FoundManifest>>>,
}

/// Whom we ask.
#[derive(Debug, Clone)]
struct Remote {
    daemon: Daemon,
    registry: Registry,
    catalogue: CatalogueKeeper,
    client: HttpClient,
    downloader: Downloader,
}

impl OllamaModels {
    /// Keeps models in the store of a home.
    #[must_use]
    pub fn in_home(paths: &Paths, settings: &ProviderSettings) -> Self {
        Self::with_downloads(paths, settings, DownloadSettings::with_connections(settings.connections))
    }

    /// Keeps models in the store of a home, and fetches as `downloads` says.
    #[must_use]
    pub fn with_downloads(paths: &Paths, settings: &ProviderSettings, downloads: DownloadSettings) -> Self {
        Self {
            settings: settings.clone(),
            own: Store::ours(paths.models_dir().join("ollama")),
            remote: Remote::try_new(paths, settings, downloads),
            remembered: Arc::default(),
        }
    }

    /// Returns whom we ask.
    fn remote(&self) -> Result<&Remote, ProviderError> {
        self.remote.as_ref().map_err(|reason| ProviderError::Source {
            source_name: "the Ollama library".to_owned(),
            reason: reason.clone(),
            hint: Some("check the variables `OLLAMA_HOST`, `ORCH_OLLAMA_REGISTRY` and `ORCH_OLLAMA_CATALOGUE`".to_owned()),
            retry_after: None,
        })
    }

    /// Returns Ollama's command line, where there is one.
    fn command(&self) -> Option<Command> {
        let host = self.remote.as_ref().ok()?.daemon.address();
        Command::find(&self.settings, host)
    }

    fn remember(&self, found: &FoundManifest) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|known| known.digest != found.digest);
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(found.clone());
    }

    fn remembered(&self, digest: &Sha256Digest) -> Option<FoundManifest> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.iter().find(|known| known.digest == *digest).cloned()
    }
}

impl Remote {
    fn try_new(paths: &Paths, settings: &ProviderSettings, downloads: DownloadSettings) -> Result<Self, String> {
        let addresses = Addresses::try_new(&settings.ollama).map_err(|error| error.to_string())?;
        let endpoints = vec![addresses.registry.clone(), addresses.catalogue.clone()];
        let http = HttpSettings { endpoints, proxies: settings.proxies.clone(), ..HttpSettings::default() };
        let client = HttpClient::try_new(&http).map_err(|error| error.to_string())?;
        let file = paths.cache_dir().join("ollama-catalogue.json");
        Ok(Self {
            daemon: Daemon::try_new(addresses.daemon.clone()).map_err(|error| error.to_string())?,
            registry: Registry::new(client.clone(), &addresses),
            catalogue: CatalogueKeeper::new(file, addresses.catalogue),
            downloader: Downloader::new(client.clone(), downloads),
            client,
        })
    }
}

#[async_trait]
impl Provider for OllamaModels {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Ollama
    }

    fn store_dir(&self) -> Option<PathBuf> {
        Some(self.own.root().to_path_buf())
    }

    /// Searches in the catalogue; all of it, for no words and no limit.
    async fn search(&self, query: &ModelQuery) -> Result<SearchResults, ProviderError> {
        let remote = self.remote()?;
        match remote.catalogue.get(&remote.client).await {
            Ok((catalogue, is_stale)) if query.stale || !is_stale => Ok(catalogue.search(query, is_stale)),
            Ok((catalogue, _)) => Err(ProviderError::Source {
                source_name: remote.catalogue.address(),
                reason: format!("it does not answer, and the catalogue that was kept is of {}", catalogue.fetched_at),
                hint: None,
                retry_after: None,
            }),
            Err(error) => Err(ProviderError::Source {
                source_name: remote.catalogue.address(),
                reason: error.reason(),
                hint: Some("a model can be pulled without it: `orch model pull ollama:NAME`".to_owned()),
                retry_after: None,
            }),
        }
    }

    async fn resolve(&self, reference: &ModelReference) -> Result<PullPlan, ProviderError> {
        let name = LibraryName::try_new(reference)?;
        self.plan(reference, &name).await
    }

    async fn header(&self, plan: &PullPlan) -> Result<ModelHeader, ProviderError> {
        let name = LibraryName::try_new(&plan.reference)?;
        self.read_header(plan, &name).await
    }

    async fn pull(&self, plan: &PullPlan, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        let name = LibraryName::try_new(&plan.reference)?;
        self.fetch(plan, &name, watch).await
    }

    async fn remove(&self, model: &InstalledModel) -> Result<u64, ProviderError> {
        let name = LibraryName::try_new(&model.reference)?;
        self.take_away(model, name).await
    }

    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
        let name = LibraryName::try_new(reference)?;
        self.find(reference, &name).await
    }

    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError> {
        Ok(self.list().await)
    }
}

/// Reads bytes as each of the things that an Ollama, its registry or its pages may send. For fuzzing: it must come to an end,
/// and nothing that is told may order a terminal about.
#[doc(hidden)]
pub fn read_anything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let usage = || defaults::UsageTexts { template: Some(text.to_string()), system: None, parameters: Some(text.to_string()) };
    let is_plain = |shown: &str| !shown.chars().any(char::is_control);
    assert!(catalogue::read_page(&text).iter().all(|entry| is_plain(&entry.name) && is_plain(&entry.description)));
    assert!(store::licence_name(&text).is_none_or(|name| is_plain(&name)));
    let _ = (model_file::weights_path(&text), defaults::read(usage()), store::ModelConfig::read(bytes), command::progress_of(&text));
    let mut stream = pulling::PullStream::default();
    let read = stream.push(bytes).and_then(|_| stream.end());
    assert!(read.err().is_none_or(|error| is_plain(&error.to_string())) && is_plain(stream.status()));
    let ours = [reqwest::Url::parse("https://registry.example/"), reqwest::Url::parse("https://library.example/")];
    let ours: Vec<_> = ours.iter().flatten().collect();
    if let Ok(url) = realm::token_address(&text, &ours) {
        assert!(ours.iter().any(|known| address::same_origin(known, &url)));
    }
}

/// Returns the SHA-256 of some bytes.
fn digest_of(bytes: &[u8]) -> Sha256Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut digits = [0; 32];
    digits.copy_from_slice(digest.as_ref());
    Sha256Digest::from_bytes(&digits)
}

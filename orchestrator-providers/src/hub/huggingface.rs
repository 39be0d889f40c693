//! The provider `hugging_face`: models of the Hugging Face hub, in the cache that Python's `huggingface_hub` uses too.
//!
//! Owns: the way from a reference to files on this machine. What the parts own:
//!
//! ```text
//! reference ─► api (what is there) ─► listing ─► choose, snapshot (which files) ─► plan
//! plan ─► Downloader ─► cache/blobs ─► cache::publish (links, branch) ─► installed (what it is)
//! ```
//!
//! Does not own: how bytes get here ([`Downloader`]), and the file formats.

mod api;
mod cache;
mod choose;
mod explain;
mod fuzz;
mod installed;
mod listing;
mod path;
mod plan;
mod pull;
mod quantisation;
mod remote;
mod snapshot;

pub use fuzz::check_listing;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use orchestrator_core::Paths;
use orchestrator_core::model::{InstalledModel, ModelHeader, ModelReference, PullPlan};
use orchestrator_core::provider::{ModelQuery, Provider, ProviderError, ProviderKind, PullWatch, SearchResults, Variant};
use reqwest::Url;

use crate::download::{DownloadSettings, Downloader, HttpClient, HttpSettings};
use crate::settings::ProviderSettings;
use api::Api;
use cache::{Cache, MAIN};
use explain::Asked;

/// The address of the hub.
const ENDPOINT: &str = "https://huggingface.co";

/// Models of the Hugging Face hub.
#[derive(Debug, Clone)]
pub struct HuggingFace {
    settings: ProviderSettings,
    cache: Cache,
    // Made when it is first needed: reading the certificates of this machine takes longer than a start may.
    remote: Arc<OnceLock<Result<Remote, String>>>,
}

/// The ways to the hub.
#[derive(Debug, Clone)]
struct Remote {
    api: Api,
    downloader: Downloader,
}

/// A reference that is one of ours.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    reference: &'a ModelReference,
    /// `owner/repo`.
    repository: &'a str,
    /// The branch, tag or commit, where one is named.
    revision: Option<&'a str>,
    /// The file or quantisation, where one is named.
    selector: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(reference: &'a ModelReference) -> Result<Self, ProviderError> {
        match reference {
            ModelReference::HuggingFace { repository, revision, selector } => {
                Ok(Self { reference, repository, revision: revision.as_deref(), selector: selector.as_deref() })
            }
            _ => Err(ProviderError::Unavailable {
                reference: reference.clone(),
                provider: ProviderKind::of(reference).as_str(),
                hint: "Hugging Face knows references such as `hf:owner/repo:Q4_K_M`".to_owned(),
            }),
        }
    }

    fn revision_or_main(&self) -> &'a str {
        self.revision.unwrap_or(MAIN)
    }
}

impl HuggingFace {
    /// Uses the hub and the cache of the settings; without a cache there, one in the home.
    #[must_use]
    pub fn in_home(paths: &Paths, settings: ProviderSettings) -> Self {
        let cache = settings.hugging_face.cache.clone().unwrap_or_else(|| paths.models_dir().join("huggingface").join("hub"));
        Self { settings, cache: Cache::new(cache), remote: Arc::default() }
    }

    /// Returns the folder of the cache.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.cache.root().to_path_buf()
    }

    /// Returns the ways to the hub, made at the first call.
    fn remote(&self, reference: Option<&ModelReference>) -> Result<&Remote, ProviderError> {
        let made = self.remote.get_or_init(|| {
            let endpoint = self.settings.hugging_face.endpoint.as_deref().unwrap_or(ENDPOINT);
            let url = Url::parse(endpoint).map_err(|error| format!("`HF_ENDPOINT` is no address: {error}"))?;
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return Err("`HF_ENDPOINT` is no address with http or https".to_owned());
            }
            let http = HttpSettings { endpoints: vec![url.clone()], proxies: self.settings.proxies.clone(), ..HttpSettings::default() };
            let client = HttpClient::try_new(&http).map_err(|error| error.to_string())?;
            let downloader = Downloader::new(client.clone(), DownloadSettings::with_connections(self.settings.connections));
            Ok(Remote { api: Api::new(client, url, self.settings.hugging_face.token.clone()), downloader })
        });
        made.as_ref().map_err(|reason| match reference {
            Some(reference) => ProviderError::Unavailable {
                reference: reference.clone(),
                provider: ProviderKind::HuggingFace.as_str(),
                hint: reason.clone(),
            },
            None => ProviderError::Source { source_name: "Hugging Face".to_owned(), reason: reason.clone(), hint: None, retry_after: None },
        })
    }

    /// Does something that blocks, off the threads that serve.
    async fn blocking<T: Send + 'static>(
        &self,
        reference: &ModelReference,
        work: impl FnOnce(Cache) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let cache = self.cache.clone();
        let done = tokio::task::spawn_blocking(move || work(cache)).await;
        let failed = |error| Err(ProviderError::Unreadable { reference: reference.clone(), source: std::io::Error::other(error) });
        done.unwrap_or_else(failed)
    }
}

impl Remote {
    fn asked<'a>(&self, wanted: Wanted<'a>) -> Asked<'a> {
        Asked {
            reference: wanted.reference,
            repository: wanted.repository,
            revision: wanted.revision_or_main(),
            hub: self.api.name(),
            has_token: self.api.has_token(),
        }
    }
}

#[async_trait]
impl Provider for HuggingFace {
    fn kind(&self) -> ProviderKind {
        ProviderKind::HuggingFace
    }

    async fn search(&self, query: &ModelQuery) -> Result<SearchResults, ProviderError> {
        let models = self.remote(None)?.api.search(&query.text, query.limit).await?;
        Ok(SearchResults { models, stale_since: None })
    }

    async fn resolve(&self, reference: &ModelReference) -> Result<PullPlan, ProviderError> {
        let wanted = Wanted::of(reference)?;
        let remote = self.remote(Some(reference))?;
        let listed = remote.list(wanted).await;
        let listing = match listed {
            Ok(listing) => listing,
            Err(error) => return Err(self.with_what_is_here(reference, error).await),
        };
        let (reference, downloader) = (reference.clone(), remote.downloader.clone());
        self.blocking(wanted.reference, move |cache| plan::make(&cache, &downloader, &reference, &listing)).await
    }

    async fn variants(&self, reference: &ModelReference) -> Result<Vec<Variant>, ProviderError> {
        let wanted = Wanted::of(reference)?;
        let listing = self.remote(Some(reference))?.list(wanted).await?;
        Ok(plan::variants(reference, &listing))
    }

    async fn header(&self, plan: &PullPlan) -> Result<ModelHeader, ProviderError> {
        self.read_header(plan).await
    }

    async fn pull(&self, plan: &PullPlan, watch: PullWatch<'_>) -> Result<InstalledModel, ProviderError> {
        self.fetch(plan, watch).await
    }

    async fn remove(&self, model: &InstalledModel) -> Result<u64, ProviderError> {
        let model = model.clone();
        let reference = model.reference.clone();
        self.blocking(&reference, move |cache| installed::remove(&cache, &model)).await
    }

    async fn locate(&self, reference: &ModelReference) -> Result<InstalledModel, ProviderError> {
        Wanted::of(reference)?;
        let owned = reference.clone();
        self.blocking(reference, move |cache| installed::locate(&cache, &owned)).await
    }

    async fn installed(&self) -> Result<Vec<InstalledModel>, ProviderError> {
        let cache = self.cache.clone();
        let listed = tokio::task::spawn_blocking(move || installed::list(&cache)).await;
        Ok(listed.unwrap_or_default())
    }
}

impl HuggingFace {
    /// Adds to an error that the hub cannot be reached that the model is here already, where it is.
    async fn with_what_is_here(&self, reference: &ModelReference, error: ProviderError) -> ProviderError {
        match error {
            ProviderError::Source { source_name, reason, retry_after, .. } if self.locate(reference).await.is_ok() => {
                let hint = Some("the model is installed already and can be used as it is; this was about a newer one".to_owned());
                ProviderError::Source { source_name, reason, hint, retry_after }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;

//! What the hub is asked, apart from the files themselves: what there is, and what a repository holds.
//!
//! The crate `hf-hub` is not used for it, though it knows the same addresses. Its version 1.0 reads any answer into memory
//! to its end, so that a hub that never stops talking takes all of it; it sends the token to whatever address the header
//! `Link` of a list names; where it is given no token it reads the environment and the home directory for one; it cannot
//! ask for lengths and digests in one request; and it would bring 109 crates. Here every answer has a limit and a
//! deadline, and the token stays with the hub ([`HttpClient`]).

use orchestrator_core::model::ModelReference;
use orchestrator_core::provider::{FoundModel, ProviderError};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::explain::{Asked, is_about_repository, is_about_revision, refused};
use super::listing::{Commit, ListedFile, Listing, ListingError, clean, is_gated, licence};
use super::quantisation;
use crate::download::{DownloadError, HttpClient, RemoteFile, RemoteRequest, SmallAnswer};
use crate::hub::split::without_ending;

/// The longest listing of a repository, in bytes. The largest on the hub have a few megabytes.
const LONGEST_LISTING: usize = 32 << 20;
/// The longest answer to a search, in bytes.
const LONGEST_SEARCH: usize = 16 << 20;
/// The longest `config.json`, in bytes.
const LONGEST_CONFIG: usize = 4 << 20;
/// How many answers a search gives when no number is asked for.
const USUAL_RESULTS: usize = 20;
/// How many answers a search gives at most.
const MOST_RESULTS: usize = 200;

/// The hub.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: HttpClient,
    endpoint: Url,
    token: Option<String>,
}

impl Api {
    pub(super) fn new(client: HttpClient, endpoint: Url, token: Option<String>) -> Self {
        Self { client, endpoint, token }
    }

    /// Returns the address of the hub as people write it.
    pub(super) fn name(&self) -> String {
        self.endpoint.as_str().trim_end_matches('/').to_owned()
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks what a repository holds at a revision.
    pub(super) async fn listing(&self, reference: &ModelReference, repository: &str, revision: &str) -> Result<Listing, ProviderError> {
        let mut url = self.address(["api", "models"].into_iter().chain(repository.split('/')).chain(["revision", revision]));
        url.set_query(Some("blobs=true"));
        let asked = Asked { reference, repository, revision, hub: self.name(), has_token: self.has_token() };
        let answer = self.ask(url, LONGEST_LISTING).await.map_err(|error| error.into_provider_error(reference, &self.name()))?;
        if !answer.status.is_success() {
            let choices = if is_about_revision(&answer) { self.revisions(repository).await } else { Vec::new() };
            let nearest = if is_about_repository(&answer) { self.nearest(repository).await } else { Vec::new() };
            return Err(refused(&asked, answer, choices, nearest));
        }
        // A listing may have megabytes; its checks are no work for the threads that serve.
        let parsed = tokio::task::spawn_blocking(move || Listing::parse(&answer.bytes)).await;
        match parsed.unwrap_or_else(|error| Err(ListingError::Json { reason: error.to_string() })) {
            Ok(listing) => Ok(listing),
            Err(error @ ListingError::Name(_)) => Err(ProviderError::Refused {
                reference: reference.clone(),
                reason: format!("a file in it has a name that is not taken: {error}"),
                hint: Some("no honest repository has such names; do not use this one".to_owned()),
            }),
            Err(error) => Err(self.unusable(error.to_string())),
        }
    }

    /// Says that the hub answers something that cannot be used.
    fn unusable(&self, reason: String) -> ProviderError {
        let hint = Some("is something else at this address? `HF_ENDPOINT` names the hub".to_owned());
        ProviderError::Source { source_name: self.name(), reason, hint, retry_after: None }
    }

    /// Searches for models: first those in the format GGUF, then, where there is room, those in safetensors.
    pub(super) async fn search(&self, text: &str, limit: usize) -> Result<Vec<FoundModel>, ProviderError> {
        let limit = if limit == 0 { USUAL_RESULTS } else { limit.min(MOST_RESULTS) };
        let mut found: Vec<FoundModel> = Vec::new();
        for filter in ["gguf", "safetensors"] {
            let wanted = limit.saturating_sub(found.len());
            if wanted == 0 {
                break;
            }
            for model in self.search_format(text, filter, wanted).await? {
                if found.len() < limit && found.iter().all(|known| known.reference != model.reference) {
                    found.push(model);
                }
            }
        }
        found.sort_by_key(|model| std::cmp::Reverse(model.downloads.unwrap_or(0)));
        Ok(found)
    }

    async fn search_format(&self, text: &str, filter: &str, limit: usize) -> Result<Vec<FoundModel>, ProviderError> {
        let mut url = self.address(["api", "models"]);
        let query = [("search", text), ("filter", filter), ("sort", "downloads"), ("direction", "-1"), ("full", "true")];
        url.query_pairs_mut().extend_pairs(query.iter().filter(|(_, value)| !value.is_empty())).append_pair("limit", &limit.to_string());
        let failed = |error: DownloadError| {
            let source_name = self.name();
            let (hint, retry_after) = match &error {
                DownloadError::RateLimited { retry_after, .. } => {
                    ("wait, or set a token (`HF_TOKEN`): who is known may ask more often", *retry_after)
                }
                DownloadError::Unauthorized { .. } => ("the token is not taken: see `HF_TOKEN`", None),
                _ => ("check the network; installed models can be used without it", None),
            };
            ProviderError::Source { source_name, reason: error.to_string(), hint: Some(hint.to_owned()), retry_after }
        };
        let answer = self.ask(url, LONGEST_SEARCH).await.and_then(SmallAnswer::successful).map_err(failed)?;
        let models = parse_search(&answer.bytes).map_err(|error| self.unusable(error.to_string()))?;
        Ok(models.into_iter().take(limit).collect())
    }

    /// Returns the branches and tags of a repository, the first ones.
    async fn revisions(&self, repository: &str) -> Vec<String> {
        #[derive(Deserialize)]
        struct References {
            #[serde(default)]
            branches: Vec<Named>,
            #[serde(default)]
            tags: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        const MOST: usize = 12;
        let url = self.address(["api", "models"].into_iter().chain(repository.split('/')).chain(["refs"]));
        let Ok(answer) = self.ask(url, LONGEST_CONFIG).await.and_then(SmallAnswer::successful) else { return Vec::new() };
        let Ok(found) = serde_json::from_slice::<References>(&answer.bytes) else { return Vec::new() };
        found.branches.into_iter().chain(found.tags).filter_map(|named| clean(&named.name)).take(MOST).collect()
    }

    /// Returns references to repositories whose names are near to one that is not there.
    async fn nearest(&self, repository: &str) -> Vec<String> {
        const NEAR: f64 = 0.8;
        const MOST: usize = 3;
        let name = repository.rsplit('/').next().unwrap_or(repository);
        // The hub finds what holds all of the text; without its last letters it also finds what ends differently.
        let stem: String = name.chars().take((name.chars().count() * 2 / 3).max(3)).collect();
        let Ok(found) = self.search(&stem, USUAL_RESULTS).await else { return Vec::new() };
        let wanted = repository.to_lowercase();
        let likeness = |model: &FoundModel| match &model.reference {
            ModelReference::HuggingFace { repository, .. } => strsim::jaro_winkler(&wanted, &repository.to_lowercase()),
            _ => 0.0,
        };
        let mut near: Vec<_> = found.iter().map(|model| (likeness(model), model)).filter(|(likeness, _)| *likeness > NEAR).collect();
        near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        near.into_iter().take(MOST).map(|(_, model)| format!("`{}`", model.reference)).collect()
    }

    /// Fetches the `config.json` of a repository. `None` where it cannot be had: what the listing says has to do then.
    pub(super) async fn config(&self, repository: &str, commit: &Commit, file: &ListedFile) -> Option<Value> {
        let request = self.file(repository, commit, file).request;
        let answer = self.client.get_small(&request, LONGEST_CONFIG).await.and_then(SmallAnswer::successful).ok()?;
        serde_json::from_slice(&answer.bytes).ok()
    }

    /// Says where a file is, and what it is promised to be.
    pub(super) fn file(&self, repository: &str, commit: &Commit, file: &ListedFile) -> RemoteFile {
        let name = file.name.as_str();
        let url = self.address(repository.split('/').chain(["resolve", commit.as_str()]).chain(name.split('/')));
        let request = RemoteRequest::new(url).with_token(self.token.as_deref());
        RemoteFile { request, name: name.to_owned(), size_bytes: file.size_bytes, digest: file.digest.clone() }
    }

    /// Puts an address together. Each part is one segment, whatever characters it has.
    fn address<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.endpoint.clone();
        // Only addresses without a host refuse segments, and an endpoint is checked for its host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// Asks, and asks again after a broken connection or a bad moment of the hub.
    async fn ask(&self, url: Url, limit: usize) -> Result<SmallAnswer, DownloadError> {
        let request = RemoteRequest::new(url).with_token(self.token.as_deref()).with_accept("application/json");
        self.client.get_small_again(&request, limit).await
    }
}

/// Reads the answer to a search. A model that cannot be understood or named is left out.
pub(super) fn parse_search(bytes: &[u8]) -> Result<Vec<FoundModel>, ListingError> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(alias = "modelId")]
        id: String,
        downloads: Option<u64>,
        likes: Option<u64>,
        #[serde(default)]
        gated: Value,
        #[serde(default, rename = "cardData")]
        card: Value,
        #[serde(default)]
        tags: Value,
        pipeline_tag: Option<String>,
        #[serde(default)]
        siblings: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        rfilename: String,
    }
    const MOST_VARIANTS: usize = 64;
    let entries: Vec<Value> =
        serde_json::from_slice(bytes).map_err(|error| ListingError::Json { reason: super::path::shown(&error.to_string()) })?;
    let model = |entry: Value| {
        let mut object = entry;
        // Both names are given, and both mean the same.
        if let Some(fields) = object.as_object_mut().filter(|fields| fields.contains_key("id")) {
            fields.remove("modelId");
        }
        let entry: Entry = serde_json::from_value(object).ok()?;
        let reference: ModelReference = format!("hf:{}", entry.id).parse().ok()?;
        let is_whole = matches!(&reference, ModelReference::HuggingFace { revision: None, selector: None, .. });
        let names = entry.siblings.iter().map(|file| file.rfilename.as_str());
        let quantisations = names.clone().filter(|name| !name.to_lowercase().contains("mmproj")).filter_map(without_ending);
        let mut variants: Vec<String> =
            quantisations.filter_map(|stem| stem.rsplit('/').find_map(quantisation::in_name)).filter_map(|word| clean(&word)).collect();
        if names.clone().any(|name| name.ends_with(".safetensors")) {
            variants.push("safetensors".to_owned());
        }
        variants.sort();
        variants.dedup();
        variants.truncate(MOST_VARIANTS);
        is_whole.then(|| FoundModel {
            reference,
            description: entry.pipeline_tag.as_deref().and_then(clean),
            downloads: entry.downloads,
            likes: entry.likes,
            licence: licence(&entry.card, &entry.tags),
            gated: is_gated(&entry.gated),
            variants,
        })
    };
    Ok(entries.into_iter().filter_map(model).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::download::HttpSettings;

    fn api(endpoint: &str) -> Api {
        let endpoint = Url::parse(endpoint).unwrap();
        let client = HttpClient::try_new(&HttpSettings { endpoints: vec![endpoint.clone()], ..HttpSettings::default() }).unwrap();
        Api::new(client, endpoint, None)
    }

    #[test]
    fn every_part_of_an_address_is_one_segment() {
        let commit = Commit::parse(&"0".repeat(40)).unwrap();
        let file =
            ListedFile { name: super::super::path::RepositoryPath::try_new("a b/c#d?.gguf").unwrap(), size_bytes: None, digest: None };
        for endpoint in ["https://hub.example", "https://hub.example/"] {
            let url = api(endpoint).file("owner/repo", &commit, &file).request.url;
            assert_eq!(url.as_str(), format!("https://hub.example/owner/repo/resolve/{}/a%20b/c%23d%3F.gguf", "0".repeat(40)));
        }
        let mirror = api("https://mirror.example/hf");
        assert_eq!(mirror.address(["api", "refs/pr/1"]).as_str(), "https://mirror.example/hf/api/refs%2Fpr%2F1");
        assert_eq!(mirror.name(), "https://mirror.example/hf");
    }

    #[test]
    fn a_search_shows_what_helps_to_choose() {
        let answer = serde_json::json!([
            { "id": "a/b-GGUF", "modelId": "a/b-GGUF", "downloads": 5, "likes": 2, "gated": "auto", "tags": ["gguf", "license:mit"], "pipeline_tag": "text-generation",
              "siblings": [{ "rfilename": "b-Q8_0.gguf" }, { "rfilename": "b-q4_k_m.gguf" }, { "rfilename": "mmproj-F16.gguf" }, { "rfilename": "x.safetensors" }] },
            { "id": "no-owner" },
            { "id": "a/../../etc" },
            { "id": "a/b@c:d" },
            { "downloads": "many", "id": "a/c" },
            7,
        ]);
        let found = parse_search(&serde_json::to_vec(&answer).unwrap()).unwrap();
        let [model] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(model.reference.to_string(), "hf:a/b-GGUF");
        assert_eq!((model.downloads, model.likes, model.gated, model.licence.as_deref()), (Some(5), Some(2), true, Some("mit")));
        assert_eq!(model.variants, ["Q4_K_M", "Q8_0", "safetensors"]);
        assert!(parse_search(b"{}").is_err());
    }
}

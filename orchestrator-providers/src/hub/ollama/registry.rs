//! The library's registry: manifests, small parts, and where the large ones are.
//!
//! Owns: the addresses, the token of one visit, and the words when something is not there. Does not own: what a manifest
//! means, and fetching weights.

use orchestrator_core::model::{FileDigest, ModelReference, Sha256Digest};
use orchestrator_core::provider::ProviderError;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::address::{self, Addresses};
use super::digest_of;
use super::manifest::{self, Manifest, ManifestError, Part};
use super::name::LibraryName;
use super::realm::{self, RealmError};
use crate::download::{DownloadError, HttpClient, RemoteFile, RemoteRequest, SmallAnswer};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The longest answer with a token in it, in bytes.
const LONGEST_TOKEN: usize = 64 * 1024;
/// The longest text with a refusal that is read, in bytes.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// The registry.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    client: HttpClient,
    base: Url,
    /// Where a token may be asked for.
    ours: [Url; 2],
}

/// A manifest as the registry gave it.
#[derive(Debug, Clone)]
pub(super) struct FoundManifest {
    /// Its bytes, as they are kept.
    pub(super) bytes: Vec<u8>,
    /// Their digest.
    pub(super) digest: Sha256Digest,
    /// What they say.
    pub(super) manifest: Manifest,
}

impl Registry {
    pub(super) fn new(client: HttpClient, addresses: &Addresses) -> Self {
        let ours = [addresses.registry.clone(), addresses.catalogue.clone()];
        Self { client, base: addresses.registry.clone(), ours }
    }

    /// Returns its address as it is shown.
    pub(super) fn address(&self) -> String {
        address::shown(&self.base)
    }

    /// Begins to ask about one model.
    pub(super) fn visit<'a>(&'a self, reference: &'a ModelReference, name: &'a LibraryName) -> Visit<'a> {
        Visit { registry: self, reference, name, token: None }
    }
}

/// Questions about one model, with the token that was given for them.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    registry: &'a Registry,
    reference: &'a ModelReference,
    name: &'a LibraryName,
    token: Option<String>,
}

impl Visit<'_> {
    /// Asks for the manifest.
    pub(super) async fn manifest(&mut self) -> Result<FoundManifest, ProviderError> {
        let name = self.name;
        let Some(bytes) = self.manifest_of(name, name.tag()).await? else { return Err(self.not_there().await) };
        let manifest = Manifest::read(&bytes).map_err(|error| self.refused(&error))?;
        Ok(FoundManifest { digest: digest_of(&bytes), bytes, manifest })
    }

    /// Asks for the manifest with a digest, whatever the tag names by now.
    pub(super) async fn manifest_at(&mut self, digest: &Sha256Digest) -> Result<FoundManifest, ProviderError> {
        let name = self.name;
        let mut bytes = self.manifest_of(name, name.tag()).await?.unwrap_or_default();
        if digest_of(&bytes) != *digest {
            bytes = self.manifest_of(name, &format!("sha256:{digest}")).await?.unwrap_or_default();
        }
        if digest_of(&bytes) != *digest {
            return Err(ProviderError::Source {
                source_name: self.registry.address(),
                reason: format!("`{name}` is another version there by now"),
                hint: Some("the same command fetches what is there now".to_owned()),
                retry_after: None,
            });
        }
        let manifest = Manifest::read(&bytes).map_err(|error| self.refused(&error))?;
        Ok(FoundManifest { digest: digest.clone(), bytes, manifest })
    }

    /// Asks for a small part, and compares it with its digest.
    pub(super) async fn small(&mut self, part: &Part) -> Result<Vec<u8>, ProviderError> {
        // An answer that is no success has a text of its own.
        let limit = usize::try_from(part.size_bytes).unwrap_or(usize::MAX).max(LONGEST_REFUSAL);
        let answer = self.get(&self.blob_path(&part.digest), None, limit).await?;
        let answer = answer.successful().map_err(|error| self.failed(error))?;
        if digest_of(&answer.bytes) != part.digest {
            let reason = format!("its digest is {}, and the manifest says {}", digest_of(&answer.bytes), part.digest);
            return Err(ProviderError::Corrupt { file: format!("{} of {}", part.kind.as_str(), self.name), reason });
        }
        Ok(answer.bytes.into())
    }

    /// Returns where a part is, with the token that was given by then.
    pub(super) fn file(&self, part: &Part) -> Result<RemoteFile, ProviderError> {
        let url = self.url(&self.blob_path(&part.digest))?;
        Ok(RemoteFile {
            request: RemoteRequest::new(url).with_token(self.token.as_deref()),
            name: format!("{} of {}", part.kind.as_str(), self.name),
            size_bytes: Some(part.size_bytes),
            digest: Some(FileDigest::Sha256(part.digest.clone())),
        })
    }

    /// Asks for a token anew, for a part that is not given to us with the one we have.
    pub(super) async fn renew(&mut self) -> Result<(), ProviderError> {
        self.token = None;
        let name = self.name;
        self.manifest_of(name, name.tag()).await.map(drop)
    }

    fn blob_path(&self, digest: &Sha256Digest) -> String {
        format!("v2/{}/blobs/sha256:{digest}", self.name.repository())
    }

    async fn manifest_of(&mut self, name: &LibraryName, tag: &str) -> Result<Option<Vec<u8>>, ProviderError> {
        let path = format!("v2/{}/manifests/{tag}", name.repository());
        let answer = self.get(&path, Some(MANIFEST), manifest::LONGEST).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.successful().map_err(|error| self.failed(error))?;
        Ok(Some(answer.bytes.into()))
    }

    /// Says whether the name or only its tag is unknown: the registry has no list of either.
    async fn not_there(&mut self) -> ProviderError {
        let latest = self.name.latest();
        let has_others = latest != *self.name && matches!(self.manifest_of(&latest, latest.tag()).await, Ok(Some(_)));
        let reference = self.reference.clone();
        if !has_others {
            return ProviderError::NotFound { reference, nearest: Vec::new() };
        }
        let choices = vec![format!("`{}`", latest.reference()), format!("the tags that {} lists", self.name.tags_page())];
        ProviderError::PartNotFound { reference, what: format!("a tag `{}`", self.name.tag()), choices }
    }

    /// Asks, and once more with a token where one is wanted.
    async fn get(&mut self, path: &str, accept: Option<&str>, limit: usize) -> Result<SmallAnswer, ProviderError> {
        let mut request = RemoteRequest::new(self.url(path)?).with_token(self.token.as_deref());
        if let Some(accept) = accept {
            request = request.with_accept(accept);
        }
        let client = &self.registry.client;
        let answer = client.get_small_again(&request, limit).await.map_err(|error| self.failed(error))?;
        // A storage elsewhere that wants a token wants none of this registry's.
        if answer.status != StatusCode::UNAUTHORIZED || self.token.is_some() || !address::same_origin(&answer.url, &self.registry.base) {
            return Ok(answer);
        }
        let token = self.ask_for_token(&answer).await?;
        self.token = Some(token);
        let request = request.with_token(self.token.as_deref());
        client.get_small_again(&request, limit).await.map_err(|error| self.failed(error))
    }

    async fn ask_for_token(&self, answer: &SmallAnswer) -> Result<String, ProviderError> {
        let header = answer.headers.get("www-authenticate").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let ours: Vec<_> = self.registry.ours.iter().collect();
        let url = realm::token_address(header, &ours).map_err(|error| self.no_token(&error))?;
        tracing::debug!(name = %self.name, from = %address::shown(&self.registry.base), "the registry wants a token");
        let request = RemoteRequest::new(url);
        let answer = self.registry.client.get_small_again(&request, LONGEST_TOKEN).await.map_err(|error| self.failed(error))?;
        let answer = answer.successful().map_err(|error| self.failed(error))?;
        read_token(&answer.bytes).ok_or_else(|| self.no_token(&RealmError::Unclear))
    }

    fn url(&self, path: &str) -> Result<Url, ProviderError> {
        self.registry.base.join(path).map_err(|error| ProviderError::Source {
            source_name: self.registry.address(),
            reason: error.to_string(),
            hint: None,
            retry_after: None,
        })
    }

    fn no_token(&self, error: &RealmError) -> ProviderError {
        let hint = "`ORCH_OLLAMA_REGISTRY` names the registry; only it and the library's own pages are asked for a token".to_owned();
        ProviderError::Refused { reference: self.reference.clone(), reason: error.to_string(), hint: Some(hint) }
    }

    fn refused(&self, error: &ManifestError) -> ProviderError {
        ProviderError::Refused { reference: self.reference.clone(), reason: error.to_string(), hint: Some(error.hint()) }
    }

    /// Turns an error of the way here into ours.
    pub(super) fn failed(&self, error: DownloadError) -> ProviderError {
        match error {
            DownloadError::Unauthorized { .. } | DownloadError::Forbidden { .. } => ProviderError::AccessDenied {
                reference: self.reference.clone(),
                reason: error.to_string(),
                hint: "it is private; a running Ollama that is signed in can pull it".to_owned(),
            },
            // The manifest names it, so the model itself does exist.
            DownloadError::Status { status: 404 | 410, .. } => ProviderError::Source {
                source_name: self.registry.address(),
                reason: error.to_string(),
                hint: Some("the registry names a part that it does not have; try again later".to_owned()),
                retry_after: None,
            },
            error => error.into_provider_error(self.reference, &self.registry.address()),
        }
    }
}

/// Reads the token out of an answer. It must be fit for a header.
fn read_token(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let token = answer.token.or(answer.access_token)?;
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_an_answer() {
        assert_eq!(read_token(br#"{"token":"abc.def"}"#).as_deref(), Some("abc.def"));
        assert_eq!(read_token(br#"{"access_token":"x"}"#).as_deref(), Some("x"));
        for odd in [&b"{}"[..], b"", b"[]", br#"{"token":""}"#, br#"{"token":"a\r\nX-Evil: 1"}"#, br#"{"token":1}"#] {
            assert_eq!(read_token(odd), None, "{odd:?}");
        }
    }
}

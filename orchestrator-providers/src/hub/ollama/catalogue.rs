//! The library's catalogue: which models there are, kept in a file so that it can be told when the library is away.
//!
//! The library has no list for programs: its `/api/tags` names only what runs on Ollama's own machines, and its registry lists
//! nothing. What it has is the page `/library`, on which every model is a link `/library/NAME`. That link is all that is
//! relied on; what stands beside it is taken where it is found.
//!
//! Owns: fetching, keeping, its age, and searching in it. Does not own: reading the page (`page`).

mod page;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use orchestrator_core::event::Timestamp;
use orchestrator_core::model::ModelReference;
use orchestrator_core::provider::{FoundModel, ModelQuery, SearchResults};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::address;
use crate::download::{HttpClient, RemoteRequest};

pub(super) use page::read as read_page;

/// How long a catalogue is as good as new.
const FRESH: Duration = Duration::from_hours(24);
/// The longest page that is read, in bytes.
const LONGEST: usize = 8 * 1024 * 1024;
/// The version of the file.
const VERSION: u32 = 1;
/// How many names are near enough to be told.
const MOST_NEAR: usize = 5;

/// A model of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CatalogueEntry {
    /// Its name, with its namespace where it has one.
    pub(super) name: String,
    /// What it is, in a line.
    pub(super) description: String,
    /// How often it was pulled.
    pub(super) pulls: Option<u64>,
    /// Its sizes, such as `8b`, which are tags too.
    pub(super) sizes: Vec<String>,
    /// What it can do, such as `tools`.
    pub(super) abilities: Vec<String>,
}

/// The catalogue as it was at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Catalogue {
    version: u32,
    /// Where it is from.
    source: String,
    /// When it was fetched.
    pub(super) fetched_at: Timestamp,
    /// The models, the most used first.
    pub(super) models: Vec<CatalogueEntry>,
}

/// Why there is no catalogue.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogueError {
    /// The library cannot be asked.
    #[error("the catalogue cannot be fetched")]
    Fetch(#[source] crate::download::DownloadError),
    /// Its page has changed.
    #[error("the page `{page}` names no models: it has changed, or something else answers there")]
    Empty {
        /// The page.
        page: String,
    },
}

impl CatalogueError {
    /// Says in a line why.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Fetch(error) => format!("{self}: {error}"),
            Self::Empty { .. } => self.to_string(),
        }
    }
}

/// Fetches the catalogue and keeps it.
#[derive(Debug, Clone)]
pub(super) struct CatalogueKeeper {
    file: PathBuf,
    source: Url,
}

impl CatalogueKeeper {
    /// Keeps what `source` says in `file`.
    pub(super) fn new(file: PathBuf, source: Url) -> Self {
        Self { file, source }
    }

    /// Returns the address of the library as it is shown.
    pub(super) fn address(&self) -> String {
        address::shown(&self.source)
    }

    /// Returns the catalogue, and whether it is an old one because the library cannot be asked now.
    pub(super) async fn get(&self, client: &HttpClient) -> Result<(Catalogue, bool), CatalogueError> {
        let kept = self.kept().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.age() < FRESH) {
            return Ok((kept.clone(), false));
        }
        match (self.fetch(client).await, kept) {
            (Ok(fetched), _) => {
                self.keep(&fetched).await;
                Ok((fetched, false))
            }
            (Err(error), Some(kept)) => {
                tracing::info!(source = %address::shown(&self.source), since = %kept.fetched_at, %error, "the catalogue of the Ollama library is an old one");
                Ok((kept, true))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Returns what is kept, whatever its age.
    pub(super) async fn kept(&self) -> Option<Catalogue> {
        let (file, source) = (self.file.clone(), address::shown(&self.source));
        let read = tokio::task::spawn_blocking(move || fs::read(file)).await.ok()?.ok()?;
        let kept: Catalogue = serde_json::from_slice(&read).ok()?;
        (kept.version == VERSION && kept.source == source).then_some(kept)
    }

    async fn fetch(&self, client: &HttpClient) -> Result<Catalogue, CatalogueError> {
        let page = self.source.join("library").unwrap_or_else(|_| self.source.clone());
        let request = RemoteRequest::new(page.clone()).with_accept("text/html");
        let answer = client.get_small(&request, LONGEST).await.and_then(crate::download::SmallAnswer::successful);
        let answer = answer.map_err(CatalogueError::Fetch)?;
        let models = read_page(&String::from_utf8_lossy(&answer.bytes));
        if models.is_empty() {
            return Err(CatalogueError::Empty { page: address::shown(&page) });
        }
        Ok(Catalogue { version: VERSION, source: address::shown(&self.source), fetched_at: Timestamp::now(), models })
    }

    /// Not to be able to keep it spoils nothing but the next time.
    async fn keep(&self, catalogue: &Catalogue) {
        let (file, text) = (self.file.clone(), serde_json::to_vec_pretty(catalogue));
        let kept = tokio::task::spawn_blocking(move || {
            let folder = file.parent().unwrap_or(&file);
            fs::create_dir_all(folder)?;
            let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut temporary, &text?)?;
            temporary.persist(&file).map_err(|error| error.error).map(drop)
        });
        match kept.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(file = %self.file.display(), %error, "the catalogue of the Ollama library cannot be kept"),
            Err(error) => tracing::warn!(%error, "the catalogue of the Ollama library cannot be kept"),
        }
    }
}

impl Catalogue {
    fn age(&self) -> Duration {
        let millis = Timestamp::now().as_millis().saturating_sub(self.fetched_at.as_millis());
        // One from the future is of a clock that was wrong: it is not believed for ever.
        u64::try_from(millis).map_or(FRESH, Duration::from_millis)
    }

    /// Searches. Every word must be in the name, the description or the abilities; a name that begins with the text comes first.
    pub(super) fn search(&self, query: &ModelQuery, is_stale: bool) -> SearchResults {
        let text = query.text.trim().to_lowercase();
        let words: Vec<_> = text.split_whitespace().collect();
        let fits = |entry: &&CatalogueEntry| {
            let all = format!("{} {} {}", entry.name, entry.description, entry.abilities.join(" ")).to_lowercase();
            words.iter().all(|word| all.contains(word))
        };
        let mut found: Vec<_> = self.models.iter().filter(fits).collect();
        found.sort_by_key(|entry| match text.as_str() {
            "" => 0,
            text if entry.name == text => 0,
            text if entry.name.starts_with(text) => 1,
            text if entry.name.contains(text) => 2,
            _ => 3,
        });
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        let models = found.into_iter().take(limit).map(CatalogueEntry::found).collect();
        SearchResults { models, stale_since: is_stale.then_some(self.fetched_at) }
    }

    /// Returns the names that are nearest to one that is not there.
    pub(super) fn nearest(&self, name: &str) -> Vec<String> {
        const NEAR: f64 = 0.8;
        let mut near: Vec<_> = self.models.iter().map(|entry| (strsim::jaro_winkler(&entry.name, name), entry)).collect();
        near.retain(|(likeness, _)| *likeness > NEAR);
        near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        near.into_iter().take(MOST_NEAR).map(|(_, entry)| format!("`{}`", entry.reference())).collect()
    }
}

impl CatalogueEntry {
    fn reference(&self) -> ModelReference {
        ModelReference::Ollama { name: self.name.clone(), tag: None }
    }

    fn found(&self) -> FoundModel {
        let abilities = if self.abilities.is_empty() { String::new() } else { format!(" ({})", self.abilities.join(", ")) };
        let description = format!("{}{abilities}", self.description);
        FoundModel {
            reference: self.reference(),
            description: (!description.trim().is_empty()).then(|| description.trim().to_owned()),
            downloads: self.pulls,
            likes: None,
            licence: None,
            gated: false,
            variants: self.sizes.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

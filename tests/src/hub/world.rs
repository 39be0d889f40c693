//! [`World`]: all that the fake hub has, and who may have it; and the addresses of its hosts.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::library::LibraryModel;
use super::repository::{Repository, RepositoryFile};

/// Somebody who has a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The token.
    pub token: String,
    /// The name.
    pub name: String,
    /// The gated and private repositories that may be read.
    #[serde(default)]
    pub repositories: Vec<String>,
}

/// All that a hub has. The default has nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// The models of the Hugging Face hub.
    pub repositories: Vec<Repository>,
    /// The models of the Ollama registry.
    pub models: Vec<LibraryModel>,
    /// Who has a token for the Hugging Face hub.
    pub accounts: Vec<Account>,
    /// Whether the registry wants a token, which it gives to everybody.
    pub registry_needs_token: bool,
    /// Whether small files come from another path of the same host, as they do today, and not at once.
    pub plain_files_are_elsewhere: bool,
}

impl World {
    pub(super) fn repository(&self, id: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.id == id)
    }

    pub(super) fn account(&self, token: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.token == token)
    }

    pub(super) fn file(&self, id: &str, revision: &str, path: &str) -> Option<&RepositoryFile> {
        self.repository(id)?.revision(revision)?.file(path)
    }

    pub(super) fn model(&self, namespace: &str, name: &str, tag: &str) -> Option<&LibraryModel> {
        self.models.iter().find(|model| model.namespace == namespace && model.name == name && model.tag == tag)
    }

    pub(super) fn blob(&self, digest: &str) -> Option<&Content> {
        self.models.iter().find_map(|model| model.blob(digest))
    }

    /// The file that whatever path at all gets, where a repository is such.
    pub(super) fn bait(&self) -> Option<&RepositoryFile> {
        self.repositories.iter().find(|repository| repository.serves_anything)?.revisions.first()?.files.first()
    }
}

/// The addresses of the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origins {
    pub(super) huggingface: SocketAddr,
    pub(super) registry: SocketAddr,
    pub(super) cdn: SocketAddr,
    pub(super) stranger: SocketAddr,
}

impl Origins {
    pub(super) fn huggingface(&self) -> String {
        format!("http://{}", self.huggingface)
    }

    pub(super) fn registry(&self) -> String {
        format!("http://{}", self.registry)
    }

    pub(super) fn cdn(&self) -> String {
        format!("http://{}", self.cdn)
    }

    pub(super) fn stranger(&self) -> String {
        format!("http://{}", self.stranger)
    }
}

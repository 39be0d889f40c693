//! The models of the library that are on this machine: in our own store, and in that of an Ollama.
//!
//! Owns: finding, listing and removing them. Ours are removed by us, Ollama's by Ollama.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use orchestrator_core::model::{InstalledModel, ModelReference};
use orchestrator_core::provider::ProviderError;

use super::OllamaModels;
use super::daemon::{Daemon, DaemonError};
use super::model_file;
use super::name::LibraryName;
use super::store::Store;

/// How many models of a running Ollama are asked for where their files are.
const ASKED: usize = 3;

/// What is known of the files of a running Ollama.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DaemonFiles {
    /// They are here and can be read.
    Readable(Store),
    /// They are not for us.
    Unreadable(String),
    /// It has none yet, so nothing tells.
    Unknown,
}

impl OllamaModels {
    /// Finds a model: in our own store, in the usual places of Ollama's, and where a running Ollama says it is.
    pub(super) async fn find(&self, reference: &ModelReference, name: &LibraryName) -> Result<InstalledModel, ProviderError> {
        let mut refused = None;
        for store in self.stores() {
            match describe(store, reference, name).await {
                Ok(Some(model)) => return Ok(model),
                Ok(None) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match self.find_through_daemon(reference, name).await {
            Ok(Some(model)) => Ok(model),
            Ok(None) => Err(refused.unwrap_or_else(|| ProviderError::NotInstalled { reference: reference.clone() })),
            Err(why) => Err(refused.unwrap_or_else(|| unreadable(reference, &why))),
        }
    }

    /// Asks a running Ollama where a model is. The error says why its file is not for us.
    pub(super) async fn find_through_daemon(
        &self,
        reference: &ModelReference,
        name: &LibraryName,
    ) -> Result<Option<InstalledModel>, String> {
        let Ok(remote) = &self.remote else { return Ok(None) };
        if remote.daemon.version().await.is_err() {
            return Ok(None);
        }
        let asked = remote.daemon.model_file(&name.to_string()).await.map_err(|error| error.to_string())?;
        match asked {
            Some(text) => self.find_by_text(reference, name, &text).await,
            None => Ok(None),
        }
    }

    /// Looks at the model whose description says where its weights are.
    pub(super) async fn find_by_text(
        &self,
        reference: &ModelReference,
        name: &LibraryName,
        text: &str,
    ) -> Result<Option<InstalledModel>, String> {
        let Some(path) = model_file::weights_path(text) else {
            return Err("it does not say which file its weights are".to_owned());
        };
        let store = store_around(&path)?;
        describe(store, reference, name).await.map_err(|error| error.to_string())
    }

    /// Lists the models of all stores; one that is in several is told once.
    pub(super) async fn list(&self) -> Vec<InstalledModel> {
        let mut stores = self.stores();
        if let Ok(remote) = &self.remote
            && remote.daemon.version().await.is_ok()
            && let DaemonFiles::Readable(store) = self.files_of(&remote.daemon).await
            && !stores.contains(&store)
        {
            stores.push(store);
        }
        let looked = tokio::task::spawn_blocking(move || {
            let mut known = HashSet::new();
            let mut models = Vec::new();
            for store in stores {
                for name in store.names() {
                    match store.describe(&name.reference(), &name) {
                        Ok(Some(model)) if known.insert(name.clone()) => models.push(model),
                        Ok(_) => {}
                        Err(error) => tracing::debug!(%name, store = %store.root().display(), %error, "a model of a store cannot be used"),
                    }
                }
            }
            models
        });
        looked.await.unwrap_or_default()
    }

    /// Removes a model, or has Ollama remove it. Returns the bytes that became free.
    pub(super) async fn take_away(&self, model: &InstalledModel, name: LibraryName) -> Result<u64, ProviderError> {
        let reference = model.reference.clone();
        if !model.path.starts_with(self.own.root()) {
            return self.have_removed(model, &name).await;
        }
        let (store, root) = (self.own.clone(), self.own.root().to_path_buf());
        let removed = tokio::task::spawn_blocking(move || store.remove(&name)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        removed.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProviderError::NotInstalled { reference },
            _ => ProviderError::Store { action: "removing a model from", path: root, source },
        })
    }

    /// Has Ollama remove one of its models.
    async fn have_removed(&self, model: &InstalledModel, name: &LibraryName) -> Result<u64, ProviderError> {
        let reference = || model.reference.clone();
        let remote = self.remote()?;
        let before: Vec<_> = model.files.iter().filter(|file| file.path.exists()).collect();
        let was_there = match remote.daemon.delete(name).await {
            Ok(was_there) => was_there,
            Err(DaemonError::NotThere { reason, .. }) => match self.command() {
                Some(command) => command.remove(name).await.map_err(|error| refuse_removal(reference(), &error.to_string()))?,
                None => return Err(refuse_removal(reference(), &reason)),
            },
            Err(error) => {
                let (source_name, reason) = (remote.daemon.address(), error.to_string());
                return Err(ProviderError::Source { source_name, reason, hint: None, retry_after: None });
            }
        };
        if !was_there {
            return Err(ProviderError::NotInstalled { reference: reference() });
        }
        let gone = before.iter().filter(|file| !file.path.exists());
        Ok(gone.map(|file| file.size_bytes).fold(0, u64::saturating_add))
    }

    /// Says whether the files of a running Ollama are here and can be read.
    pub(super) async fn files_of(&self, daemon: &Daemon) -> DaemonFiles {
        if !daemon.is_on_this_machine() {
            return DaemonFiles::Unreadable("its files are on another machine".to_owned());
        }
        let models = daemon.models().await.unwrap_or_default();
        // A model that runs elsewhere has no file.
        for model in models.iter().filter(|model| model.remote_host.is_empty()).take(ASKED) {
            let Ok(Some(text)) = daemon.model_file(&model.name).await else { continue };
            let Some(path) = model_file::weights_path(&text) else { continue };
            return match store_around(&path) {
                Ok(store) => DaemonFiles::Readable(store),
                Err(why) => DaemonFiles::Unreadable(why),
            };
        }
        let usual: Vec<_> = self.stores().into_iter().skip(1).map(|store| (store.is_readable(), store)).collect();
        let refused = usual.iter().find_map(|(readable, store)| Some((readable.as_ref().err()?, store)));
        match refused {
            Some((error, store)) if usual.iter().all(|(readable, _)| !matches!(readable, Ok(Some(())))) => {
                DaemonFiles::Unreadable(format!("`{}` cannot be read: {error}", store.root().display()))
            }
            _ => DaemonFiles::Unknown,
        }
    }

    /// Our own store first, then the usual places of Ollama's.
    pub(super) fn stores(&self) -> Vec<Store> {
        let usual = self.settings.ollama.stores.iter().cloned().map(Store::of_ollama);
        std::iter::once(self.own.clone()).chain(usual).collect()
    }
}

/// Returns the store around a blob that can be read. The error says why it cannot.
fn store_around(blob: &Path) -> Result<Store, String> {
    let refused = |error: io::Error| format!("`{}` cannot be read: {error}", blob.display());
    fs::File::open(blob).map_err(refused)?;
    let store = Store::around(blob).ok_or_else(|| format!("`{}` lies in no store", blob.display()))?;
    match store.is_readable() {
        Ok(Some(())) => Ok(store),
        Ok(None) => Err(format!("`{}` is no store", store.root().display())),
        Err(error) => Err(format!("`{}` cannot be read: {error}", store.root().display())),
    }
}

/// Looks at a model of a store, on a thread that may block.
pub(super) async fn describe(
    store: Store,
    reference: &ModelReference,
    name: &LibraryName,
) -> Result<Option<InstalledModel>, ProviderError> {
    let (asked, name) = (reference.clone(), name.clone());
    let looked = tokio::task::spawn_blocking(move || store.describe(&asked, &name)).await;
    looked.unwrap_or_else(|error| Err(ProviderError::Unreadable { reference: reference.clone(), source: io::Error::other(error) }))
}

fn unreadable(reference: &ModelReference, why: &str) -> ProviderError {
    ProviderError::Refused {
        reference: reference.clone(),
        reason: format!("Ollama has it, and its file is not for us: {why}"),
        hint: Some(format!("`orch model pull {reference}` fetches it into our own store, from the registry")),
    }
}

fn refuse_removal(reference: ModelReference, why: &str) -> ProviderError {
    let reason = format!("it is in the store of Ollama, which alone removes from it, and Ollama does not answer: {why}");
    ProviderError::Refused { reference, reason, hint: Some("start Ollama, or remove it there".to_owned()) }
}

//! `models/manifest.json`: what is installed, for people and programs that do not ask us. Generated from the database.
//!
//! One task owns the file. Whoever changed something tells it; several changes make one writing.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::Timestamp;
use crate::instance::spec::Backend;
use crate::model::compatibility::{ModelTraits, compatible_devices, compatible_runtimes};
use crate::model::{ModelFile, ModelFormat, ModelReference};
use crate::provider::ProviderKind;
use crate::runtime::RuntimeKind;
use crate::store::{ModelRecord, StateStore};

/// The version of the file's form.
const VERSION: u32 = 1;
/// How many changes wait.
const WAITING: usize = 64;

/// The content of `models/manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The version of the form of this file.
    pub version: u32,
    /// When it was written.
    pub written_at: Timestamp,
    /// Every model that was installed.
    pub models: Vec<ManifestModel>,
}

/// A model in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestModel {
    /// How it is named.
    pub reference: ModelReference,
    /// The name it gives itself.
    pub name: Option<String>,
    /// Where it came from.
    pub provider: ProviderKind,
    /// The exact version: a commit, or the digest of a manifest.
    pub revision: Option<String>,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// The bytes of all its files.
    pub size_bytes: u64,
    /// Its format.
    pub format: ModelFormat,
    /// Its architecture.
    pub architecture: String,
    /// Its quantisation.
    pub quantisation: Option<String>,
    /// The longest context it was trained for, in tokens.
    pub context_length: Option<u64>,
    /// Its licence.
    pub licence: Option<String>,
    /// The runtimes that can run it, each with the kinds of device it can do so on.
    pub compatible: Vec<CompatibleRuntime>,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// A runtime that can run a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompatibleRuntime {
    /// The runtime.
    pub runtime: RuntimeKind,
    /// The kinds of device.
    pub devices: Vec<Backend>,
}

impl From<ModelRecord> for ManifestModel {
    fn from(ModelRecord { model, installed_at, last_used_at }: ModelRecord) -> Self {
        let provider = model.provider();
        let traits = ModelTraits::from(&model);
        let runtimes = compatible_runtimes(&traits).into_iter();
        let compatible = runtimes.map(|runtime| CompatibleRuntime { runtime, devices: compatible_devices(&traits, runtime) }).collect();
        let files = if model.files.is_empty() {
            vec![ModelFile { path: model.path, size_bytes: model.size_bytes, sha256: None }]
        } else {
            model.files
        };
        Self {
            reference: model.reference,
            name: model.name,
            provider,
            revision: model.revision,
            files,
            size_bytes: model.size_bytes,
            format: model.format,
            architecture: model.architecture,
            quantisation: model.quantisation,
            context_length: model.context_length,
            licence: model.licence,
            compatible,
            installed_at,
            last_used_at,
        }
    }
}

/// Tells the task that owns the file of changes.
pub(crate) struct ManifestWriter {
    changes: mpsc::Sender<Option<oneshot::Sender<()>>>,
}

impl ManifestWriter {
    /// Starts the task.
    pub(crate) fn start(store: Arc<dyn StateStore>, file: PathBuf, tasks: &TaskTracker, end: CancellationToken) -> Self {
        let (changes, mut told) = mpsc::channel(WAITING);
        tasks.spawn(async move {
            let mut waiting: Vec<Option<oneshot::Sender<()>>> = Vec::new();
            while let Some(count) = end.run_until_cancelled(told.recv_many(&mut waiting, WAITING)).await {
                if count == 0 {
                    return;
                }
                if let Err(error) = write(store.as_ref(), &file).await {
                    tracing::warn!(%error, file = %file.display(), "the list of models could not be written");
                }
                // Whoever waits goes on, whatever came of it: the database has it.
                for done in waiting.drain(..).flatten() {
                    let _ = done.send(());
                }
            }
        });
        Self { changes }
    }

    /// Has the file written soon.
    pub(crate) fn refresh(&self) {
        // When so many wait already, the writing that is about to begin sees this change too.
        let _ = self.changes.try_send(None);
    }

    /// Has the file written, and waits for it.
    pub(crate) async fn written(&self) {
        let (done, wait) = oneshot::channel();
        if self.changes.send(Some(done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

async fn write(store: &dyn StateStore, file: &Path) -> io::Result<()> {
    let records = store.models().await.map_err(io::Error::other)?;
    if records.is_empty() && !file.exists() {
        return Ok(());
    }
    let manifest = Manifest { version: VERSION, written_at: Timestamp::now(), models: records.into_iter().map(Into::into).collect() };
    let file = file.to_path_buf();
    let written = tokio::task::spawn_blocking(move || publish(&manifest, &file)).await;
    written.map_err(io::Error::other)?
}

/// Writes under a temporary name first, so that a reader sees the old file or the new one.
fn publish(manifest: &Manifest, file: &Path) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut temporary, manifest)?;
    temporary.write_all(b"\n")?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|refused| refused.error)?;
    Ok(())
}

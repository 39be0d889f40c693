//! Copying a model of this machine into our own store.
//!
//! Owns: that the copy is whole and hashed before it has its name. The original is never touched.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use orchestrator_core::model::{InstalledModel, ModelFile, ModelReference, Sha256Digest};
use orchestrator_core::operation::{ProgressUnit, ProgressUpdate};
use orchestrator_core::provider::{ProviderError, PullWatch};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How much is read at a time, in bytes.
const BLOCK: usize = 1 << 20;
/// How many reports of progress wait.
const REPORTS: usize = 4;
/// How many folders below the model's own are copied.
const DEEPEST: usize = 4;
/// How many files a model may have.
const MOST_FILES: usize = 10_000;

/// A copy under its final name.
#[derive(Debug)]
pub(super) struct Copied {
    /// The file, the first of several, or the folder.
    pub(super) path: PathBuf,
    /// Every file of it.
    pub(super) files: Vec<ModelFile>,
}

/// What is copied where.
struct Job {
    reference: ModelReference,
    /// The original: a folder, or the first file.
    original: PathBuf,
    /// Files of the original, each with its name in the copy.
    files: Vec<(PathBuf, PathBuf)>,
    store: PathBuf,
    total: u64,
}

/// Copies a model into the store.
pub(super) async fn copy(model: &InstalledModel, store: &Path, watch: PullWatch<'_>) -> Result<Copied, ProviderError> {
    let (reference, original, store) = (model.reference.clone(), model.path.clone(), store.to_path_buf());
    let listed: Vec<PathBuf> = model.files.iter().map(|file| file.path.clone()).collect();
    let (reports, mut reported) = mpsc::channel::<u64>(REPORTS);
    let cancel = watch.cancel.child_token();
    let total = model.size_bytes;
    let mut copying = tokio::task::spawn_blocking(move || {
        let files = if original.is_dir() { files_of(&reference, &original)? } else { beside(&original, &listed) };
        let job = Job { reference, original, files, store, total };
        job.run(&cancel, &reports)
    });
    // When the caller goes, the copy is stopped by the child token's parent; the task ends at its next block.
    loop {
        tokio::select! {
            Some(done) = reported.recv() => watch.progress.update(ProgressUpdate {
                phase: "copying".to_owned(),
                done: Some(done),
                total: Some(total),
                unit: ProgressUnit::Bytes,
                ..ProgressUpdate::default()
            }),
            copied = &mut copying => {
                return copied.unwrap_or_else(|error| Err(failed("copying", &model.path, io::Error::other(error))));
            }
        }
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ProviderError {
    ProviderError::Store { action, path: path.to_path_buf(), source }
}

/// The files of a GGUF model: those that were listed, or the one.
fn beside(original: &Path, listed: &[PathBuf]) -> Vec<(PathBuf, PathBuf)> {
    let files = if listed.is_empty() { vec![original.to_path_buf()] } else { listed.to_vec() };
    let named = |file: PathBuf| file.file_name().map(PathBuf::from).map(|name| (file, name));
    files.into_iter().filter_map(named).collect()
}

/// The files of a folder. Links are followed: what they lead to is what the engine would read.
fn files_of(reference: &ModelReference, folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>, ProviderError> {
    let mut files = Vec::new();
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((inside, depth)) = waiting.pop() {
        let here = folder.join(&inside);
        for entry in fs::read_dir(&here).map_err(|error| failed("reading", &here, error))? {
            let entry = entry.map_err(|error| failed("reading", &here, error))?;
            let name = inside.join(entry.file_name());
            let found = fs::metadata(entry.path()).map_err(|error| failed("reading", &entry.path(), error))?;
            if found.is_file() {
                files.push((entry.path(), name));
            } else if found.is_dir() && depth < DEEPEST {
                waiting.push((name, depth + 1));
            }
            if files.len() + waiting.len() > MOST_FILES {
                let reason = format!("the folder holds more than {MOST_FILES} files");
                return Err(ProviderError::Refused { reference: reference.clone(), reason, hint: None });
            }
        }
    }
    files.sort();
    Ok(files)
}

impl Job {
    fn run(&self, cancel: &CancellationToken, reports: &mpsc::Sender<u64>) -> Result<Copied, ProviderError> {
        let is_folder = self.original.is_dir();
        let name = self.original.file_name().ok_or_else(|| self.refused("it has no name of its own"))?;
        // The parts of one model stay together, in a folder of their own.
        let stem = self.original.file_stem().unwrap_or(name);
        let target = self.store.join(if is_folder { name } else { stem });
        if target.exists() {
            return Err(self.refused(&format!("`{}` is in the store already", target.display())));
        }
        fs::create_dir_all(&self.store).map_err(|error| failed("making", &self.store, error))?;
        // Removed when it is dropped before it has its name.
        let hidden = tempfile::Builder::new().prefix(".import-").tempdir_in(&self.store);
        let hidden = hidden.map_err(|error| failed("making a folder in", &self.store, error))?;
        let mut files = Vec::new();
        let mut done = 0;
        for (from, inside) in &self.files {
            let copied = self.copy_file(from, &hidden.path().join(inside), &mut done, cancel, reports)?;
            files.push(ModelFile { path: target.join(inside), ..copied });
        }
        let hidden = hidden.keep();
        let published = make_public(&hidden, &target);
        if let Err(error) = published {
            let _ = fs::remove_dir_all(&hidden);
            return Err(failed("naming", &target, error));
        }
        let path = if is_folder { target } else { target.join(name) };
        Ok(Copied { path, files })
    }

    fn copy_file(
        &self,
        from: &Path,
        to: &Path,
        done: &mut u64,
        cancel: &CancellationToken,
        reports: &mpsc::Sender<u64>,
    ) -> Result<ModelFile, ProviderError> {
        let reading = |error| failed("reading", from, error);
        let writing = |error| failed("writing", to, error);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(writing)?;
        }
        let mut input = File::open(from).map_err(reading)?;
        let mut output = File::create_new(to).map_err(writing)?;
        let mut hash = Context::new(&SHA256);
        let mut block = vec![0; BLOCK];
        let mut size_bytes = 0;
        loop {
            if cancel.is_cancelled() {
                return Err(ProviderError::Cancelled { reference: self.reference.clone() });
            }
            let count = input.read(&mut block).map_err(reading)?;
            if count == 0 {
                break;
            }
            hash.update(&block[..count]);
            output.write_all(&block[..count]).map_err(writing)?;
            size_bytes += count as u64;
            *done += count as u64;
            // A report that finds no place is not missed: the next one says more.
            let _ = reports.try_send((*done).min(self.total.max(*done)));
        }
        output.sync_all().map_err(writing)?;
        let digest: [u8; 32] = hash.finish().as_ref().try_into().map_err(|_| self.refused("its digest has a wrong length"))?;
        Ok(ModelFile { path: to.to_path_buf(), size_bytes, sha256: Some(Sha256Digest::from_bytes(&digest)) })
    }

    fn refused(&self, reason: &str) -> ProviderError {
        let hint = Some("remove the other one, or register this one in place".to_owned());
        ProviderError::Refused { reference: self.reference.clone(), reason: reason.to_owned(), hint }
    }
}

/// Gives a whole folder its name. A folder that got the name meanwhile is left as it is.
fn make_public(hidden: &Path, target: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // A temporary folder is for its owner alone; a model is for whoever may read the store.
    fs::set_permissions(hidden, fs::Permissions::from_mode(0o755))?;
    rustix::fs::renameat_with(rustix::fs::CWD, hidden, rustix::fs::CWD, target, rustix::fs::RenameFlags::NOREPLACE)?;
    File::open(target.parent().unwrap_or(target))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::Provider as _;
    use orchestrator_core::model::demo::{DemoModel, write_demo_model};
    use orchestrator_core::operation::NoProgress;
    use orchestrator_core::provider::{ImportMode, ModelImport};

    use super::super::LocalModels;
    use super::*;

    async fn import(store: &Path, path: &Path, cancel: &CancellationToken) -> Result<InstalledModel, ProviderError> {
        let import = ModelImport { path: path.to_path_buf(), mode: ImportMode::Copy };
        let watch = PullWatch { progress: &NoProgress, cancel };
        LocalModels { models_dir: store.to_path_buf() }.import(&import, watch).await
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[tokio::test]
    async fn a_copy_is_whole_hashed_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let (original, store) = (folder.path().join("demo.gguf"), folder.path().join("models"));
        write_demo_model(&original, &DemoModel::default()).unwrap();
        let cancel = CancellationToken::new();
        let model = import(&store, &original, &cancel).await.unwrap();
        assert_eq!(model.path, store.join("demo/demo.gguf"));
        assert_eq!(fs::read(&model.path).unwrap(), fs::read(&original).unwrap());
        let digest = aws_lc_rs::digest::digest(&SHA256, &fs::read(&original).unwrap());
        assert_eq!(model.files[0].sha256, Some(Sha256Digest::from_bytes(digest.as_ref().try_into().unwrap())));
        let again = import(&store, &original, &cancel).await.unwrap_err();
        assert!(again.to_string().contains("in the store already"), "{again}");
        assert_eq!(entries(&store), 1);
    }

    #[tokio::test]
    async fn a_cancelled_copy_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (original, store) = (folder.path().join("demo.gguf"), folder.path().join("models"));
        write_demo_model(&original, &DemoModel::default()).unwrap();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let error = import(&store, &original, &cancel).await.unwrap_err();
        assert!(matches!(error, ProviderError::Cancelled { .. }), "{error}");
        assert_eq!(entries(&store), 0);
        assert!(original.exists());
    }
}

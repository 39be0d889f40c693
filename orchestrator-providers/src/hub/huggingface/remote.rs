//! Reads the header of a model: from this machine where its files are here, else by parts of the files at the hub.

use std::io::{self, Read, Seek};

use orchestrator_core::model::gguf::{GgufError, GgufExtent, GgufHeader, GgufReadOptions};
use orchestrator_core::model::safetensors::{
    SafetensorsError, SafetensorsFile, SafetensorsHeader, SafetensorsIndex, SafetensorsLimits, TransformersConfig,
};
use orchestrator_core::model::{FileRole, ModelFormat, ModelHeader, PullPlan, SafetensorsModel};
use orchestrator_core::provider::ProviderError;

use super::cache::CachedRepository;
use super::plan::{CheckedFile, CheckedPlan, has_blob, in_snapshot};
use super::{HuggingFace, Remote, Wanted, explain, snapshot};
use crate::download::DownloadError;

/// How many files of a model are looked into.
const MOST_FILES: usize = 1_000;

impl HuggingFace {
    /// Reads the headers of the weights of a plan.
    pub(super) async fn read_header(&self, plan: &PullPlan) -> Result<ModelHeader, ProviderError> {
        let wanted = Wanted::of(&plan.reference)?;
        let checked = CheckedPlan::of(plan)?;
        let remote = self.remote(Some(&plan.reference))?.clone();
        if plan.format == ModelFormat::Gguf && checked.files.len() > MOST_FILES {
            return Err(invalid(plan, "it has too many files".to_owned()));
        }
        let (plan, repository) = (plan.clone(), self.cache.repository(wanted.repository));
        let handle = tokio::runtime::Handle::current();
        self.blocking(wanted.reference, move |_| {
            let source = Source { remote, repository, plan: &plan, checked: &checked, handle };
            match plan.format {
                ModelFormat::Safetensors => source.safetensors().map(ModelHeader::from),
                _ => source.gguf(),
            }
        })
        .await
    }
}

/// Where the files of a plan can be read.
struct Source<'a> {
    remote: Remote,
    repository: CachedRepository,
    plan: &'a PullPlan,
    checked: &'a CheckedPlan,
    handle: tokio::runtime::Handle,
}

/// Something with a beginning that can be gone back to.
trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

impl Source<'_> {
    fn open(&self, file: &CheckedFile) -> Result<Box<dyn ReadSeek>, ProviderError> {
        let (name, commit) = (&file.listed.name, &self.checked.commit);
        let path = if in_snapshot(&self.repository, commit, &file.listed) {
            Some(name.below(&self.repository.snapshot(commit)))
        } else {
            has_blob(&self.repository, &file.listed).then(|| self.repository.blob(&file.digest))
        };
        if let Some(path) = path {
            let opened = std::fs::File::open(&path);
            return opened
                .map(|file| Box::new(file) as Box<dyn ReadSeek>)
                .map_err(|source| ProviderError::Unreadable { reference: self.plan.reference.clone(), source });
        }
        let wanted = Wanted::of(&self.plan.reference)?;
        let remote = self.remote.api.file(wanted.repository, commit, &file.listed);
        Ok(Box::new(self.remote.downloader.open_remote(&remote, self.handle.clone())))
    }

    fn weights(&self) -> impl Iterator<Item = &CheckedFile> {
        self.checked.files.iter().filter(|file| file.role == FileRole::Weights)
    }

    fn size(&self, file: &CheckedFile) -> Result<u64, ProviderError> {
        file.listed.size_bytes.ok_or_else(|| invalid(self.plan, format!("the hub tells no length of `{}`", file.listed.name.as_str())))
    }

    /// Reads the header of each part of a GGUF model.
    fn gguf(&self) -> Result<ModelHeader, ProviderError> {
        let mut parts = Vec::new();
        for file in self.weights() {
            let extent = GgufExtent::whole(self.size(file)?);
            let read = GgufHeader::read_from(self.open(file)?, extent, &GgufReadOptions::default());
            parts.push(read.map_err(|error| self.bad_gguf(file, error))?);
        }
        ModelHeader::gguf_of_parts(parts).ok_or_else(|| invalid(self.plan, "it has no weights".to_owned()))
    }

    /// Reads the configuration, the index and the header of each file of a safetensors model.
    fn safetensors(&self) -> Result<SafetensorsModel, ProviderError> {
        let limits = SafetensorsLimits::default();
        let find = |name: &str| self.checked.files.iter().find(|file| file.listed.name.as_str() == name);
        let config = find(snapshot::CONFIG).ok_or_else(|| invalid(self.plan, "it has no `config.json`".to_owned()))?;
        let described = TransformersConfig::read_from(self.open(config)?, &limits).map_err(|error| self.bad_safetensors(config, error))?;
        let index = match find(snapshot::INDEX) {
            Some(file) => Some(SafetensorsIndex::read_from(self.open(file)?, &limits).map_err(|error| self.bad_safetensors(file, error))?),
            None => None,
        };
        let mut files = Vec::new();
        // Modules in folders of their own, as of models that make embeddings, are not in the index.
        for file in self.weights().filter(|file| file.listed.name.depth() == 0).take(MOST_FILES) {
            let read = SafetensorsHeader::read_from(self.open(file)?, self.size(file)?, &limits);
            files.push(SafetensorsFile {
                name: file.listed.name.as_str().to_owned(),
                header: read.map_err(|error| self.bad_safetensors(file, error))?,
            });
        }
        SafetensorsModel::try_new(described, files, index.as_ref()).map_err(|error| invalid(self.plan, error.to_string()))
    }

    fn bad_gguf(&self, file: &CheckedFile, error: GgufError) -> ProviderError {
        match error {
            GgufError::Unreadable { source } => self.unreadable(source),
            other => self.bad(file, &other.to_string()),
        }
    }

    fn bad_safetensors(&self, file: &CheckedFile, error: SafetensorsError) -> ProviderError {
        match error {
            SafetensorsError::Unreadable { source } => self.unreadable(source),
            other => self.bad(file, &other.to_string()),
        }
    }

    fn bad(&self, file: &CheckedFile, reason: &str) -> ProviderError {
        invalid(self.plan, format!("the header of `{}` cannot be used: {reason}", file.listed.name.as_str()))
    }

    /// Explains why bytes could not be read. What the reader of a remote file met is inside its error.
    fn unreadable(&self, error: io::Error) -> ProviderError {
        let reference = self.plan.reference.clone();
        let met = match error.downcast::<DownloadError>() {
            Ok(met) => met,
            Err(source) => return ProviderError::Unreadable { reference, source },
        };
        match Wanted::of(&self.plan.reference) {
            Ok(wanted) => explain::failed(&self.remote.asked(wanted), self.plan.gated, met),
            Err(error) => error,
        }
    }
}

fn invalid(plan: &PullPlan, reason: String) -> ProviderError {
    ProviderError::Refused { reference: plan.reference.clone(), reason, hint: None }
}

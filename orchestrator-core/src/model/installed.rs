//! Reads the header of a model that is on this machine, from all its files. Blocks.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::gguf::{GgufError, GgufHeader};
use super::safetensors::{SafetensorsError, SafetensorsFile, SafetensorsHeader, SafetensorsIndex, SafetensorsLimits, TransformersConfig};
use super::{InstalledModel, ModelFormat, ModelHeader, SafetensorsModel};
use crate::error::{Coded, ErrorCode};

/// Why the header of a model could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A GGUF file is not what it should be.
    #[error("`{path}` is no usable model")]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: GgufError,
    },
    /// A file of a safetensors model is not what it should be.
    #[error("`{path}` is no usable part of a model")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SafetensorsError,
    },
    /// A folder has no safetensors files.
    #[error("`{folder}` has no safetensors files")]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
}

impl Coded for HeaderError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Gguf { source, .. } => source.code(),
            Self::Safetensors { source, .. } => source.code(),
            Self::NoWeights { .. } => ErrorCode::ModelNotFound,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Gguf { source, .. } => source.hint(),
            Self::Safetensors { source, .. } => source.hint(),
            Self::NoWeights { .. } => Some("name a folder with a `config.json` and `.safetensors` files".to_owned()),
        }
    }
}

impl ModelHeader {
    /// Reads the header of a model on this machine, from all its files. Blocks.
    pub fn read(model: &InstalledModel) -> Result<Self, HeaderError> {
        match model.format {
            ModelFormat::Gguf => read_gguf(&model.path),
            ModelFormat::Safetensors => {
                let folder = if model.path.is_dir() { Some(model.path.as_path()) } else { model.path.parent() };
                read_safetensors(folder.unwrap_or(&model.path)).map(Self::from)
            }
        }
    }
}

fn read_gguf(first: &Path) -> Result<ModelHeader, HeaderError> {
    let read = |path: &Path| GgufHeader::read(path).map_err(|source| HeaderError::Gguf { path: path.to_path_buf(), source });
    let header = read(first)?;
    let others = header.split().map(|split| other_parts(first, split.count)).unwrap_or_default();
    let mut parts = vec![header];
    for path in others {
        parts.push(read(&path)?);
    }
    ModelHeader::gguf_of_parts(parts).ok_or_else(|| HeaderError::Gguf { path: first.to_path_buf(), source: GgufError::Missing })
}

/// Names the parts after the first of a model in several files, `…-00001-of-00003.gguf`.
fn other_parts(first: &Path, count: u64) -> Vec<PathBuf> {
    // More parts than the format has digits for are a damaged header.
    const MOST: u64 = 99_999;
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = name.strip_suffix(&format!("-00001-of-{count:05}.gguf")) else { return Vec::new() };
    (2..=count.min(MOST)).map(|number| first.with_file_name(format!("{stem}-{number:05}-of-{count:05}.gguf"))).collect()
}

/// Reads the configuration, the index where there is one, and the headers of the weights in a folder.
pub fn read_safetensors(folder: &Path) -> Result<SafetensorsModel, HeaderError> {
    let limits = SafetensorsLimits::default();
    let failed = |path: &Path, source| HeaderError::Safetensors { path: path.to_path_buf(), source };
    let open = |path: &Path| File::open(path).map_err(|source| failed(path, SafetensorsError::Unreadable { source }));
    let config = folder.join(TransformersConfig::FILE_NAME);
    let described = TransformersConfig::read_from(open(&config)?, &limits).map_err(|source| failed(&config, source))?;
    let index_path = folder.join(SafetensorsIndex::FILE_NAME);
    let index = match File::open(&index_path) {
        Ok(file) => Some(SafetensorsIndex::read_from(file, &limits).map_err(|source| failed(&index_path, source))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed(&index_path, SafetensorsError::Unreadable { source })),
    };
    let names: BTreeSet<String> = match &index {
        Some(index) => index.files().into_iter().map(str::to_owned).collect(),
        None => weights_in(folder, limits.files),
    };
    if names.is_empty() {
        return Err(HeaderError::NoWeights { folder: folder.to_path_buf() });
    }
    let mut files = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let header = SafetensorsHeader::read(&path).map_err(|source| failed(&path, source))?;
        files.push(SafetensorsFile { name, header });
    }
    SafetensorsModel::try_new(described, files, index.as_ref()).map_err(|source| failed(&index_path, source))
}

/// Names the weights of a folder without an index: `model.safetensors`, else all there are.
fn weights_in(folder: &Path, most: u64) -> BTreeSet<String> {
    const USUAL: &str = "model.safetensors";
    if folder.join(USUAL).is_file() {
        return BTreeSet::from([USUAL.to_owned()]);
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.ends_with(".safetensors"));
    names.take(usize::try_from(most).unwrap_or(usize::MAX)).collect()
}

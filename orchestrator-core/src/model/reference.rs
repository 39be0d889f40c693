//! Model references: `hf:owner/repo[@revision][:file-or-quant]`, `ollama:name[:tag]`, `file:/path/model.gguf`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Coded, ErrorCode};

/// Names a model and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
#[non_exhaustive]
pub enum ModelReference {
    /// A repository on Hugging Face.
    HuggingFace {
        /// `owner/repo`.
        repository: String,
        /// A branch, tag or commit; the default branch when absent.
        revision: Option<String>,
        /// A file name or a quantisation such as `Q4_K_M`; the provider chooses when absent.
        selector: Option<String>,
    },
    /// A model of the Ollama library.
    Ollama {
        /// The name, with its namespace where it has one.
        name: String,
        /// The tag; `latest` when absent.
        tag: Option<String>,
    },
    /// A file or folder on this machine.
    File {
        /// An absolute path.
        path: PathBuf,
    },
}

/// A text that is no model reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelReferenceError {
    /// The text has none of the known forms, or breaks the rule of its form.
    #[error("`{text}` is no model reference: {reason}")]
    Invalid {
        /// The text, with control characters escaped.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
}

impl Coded for ModelReferenceError {
    fn code(&self) -> ErrorCode {
        ErrorCode::ModelReferenceInvalid
    }

    fn hint(&self) -> Option<String> {
        Some("write `file:/path/model.gguf`, `hf:owner/repo[@revision][:file-or-quant]` or `ollama:name[:tag]`".to_owned())
    }
}

const LONGEST_REFERENCE: usize = 4096;

impl ModelReference {
    /// Names a local file. A relative path is a reference only once it is made absolute.
    ///
    /// # Errors
    /// Fails when the path is relative or holds a NUL byte.
    pub fn try_file(path: impl Into<PathBuf>) -> Result<Self, ModelReferenceError> {
        let path = path.into();
        let refuse = |reason| invalid(&path.to_string_lossy(), reason);
        if !path.is_absolute() {
            return Err(refuse("a file must be given with its absolute path"));
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(refuse("the path holds a NUL byte"));
        }
        Ok(Self::File { path })
    }

    /// Returns the path of a local file.
    #[must_use]
    pub fn as_file(&self) -> Option<&Path> {
        match self {
            Self::File { path } => Some(path),
            Self::HuggingFace { .. } | Self::Ollama { .. } => None,
        }
    }

    /// Returns a short name for tables: the file's stem, the repository's last part, or the model's name.
    #[must_use]
    pub fn short_name(&self) -> String {
        match self {
            Self::File { path } => path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Self::HuggingFace { repository, selector, .. } => {
                let last = repository.rsplit('/').next().unwrap_or(repository);
                selector.as_ref().map_or_else(|| last.to_owned(), |selector| format!("{last}:{selector}"))
            }
            Self::Ollama { name, tag } => tag.as_ref().map_or_else(|| name.clone(), |tag| format!("{name}:{tag}")),
        }
    }
}

fn invalid(text: &str, reason: &'static str) -> ModelReferenceError {
    let text = text.chars().take(200).flat_map(char::escape_debug).collect();
    ModelReferenceError::Invalid { text, reason }
}

impl FromStr for ModelReference {
    type Err = ModelReferenceError;

    fn from_str(text: &str) -> Result<Self, ModelReferenceError> {
        let refuse = |reason| Err(invalid(text, reason));
        if text.len() > LONGEST_REFERENCE {
            return refuse("it is longer than 4096 bytes");
        }
        if text.chars().any(char::is_control) {
            return refuse("it holds control characters");
        }
        if text.starts_with('/') {
            return Self::try_file(text);
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return refuse("it has no `hf:`, `ollama:` or `file:` in front");
        };
        match scheme {
            "file" => Self::try_file(rest),
            "hf" => parse_hugging_face(rest).map_or_else(refuse, Ok),
            "ollama" => parse_ollama(rest).map_or_else(refuse, Ok),
            _ => refuse("it has no `hf:`, `ollama:` or `file:` in front"),
        }
    }
}

fn parse_hugging_face(rest: &str) -> Result<ModelReference, &'static str> {
    let (rest, selector) = match rest.split_once(':') {
        Some((rest, selector)) => (rest, Some(selector)),
        None => (rest, None),
    };
    let (repository, revision) = match rest.split_once('@') {
        Some((repository, revision)) => (repository, Some(revision)),
        None => (rest, None),
    };
    let Some((owner, name)) = repository.split_once('/') else {
        return Err("a Hugging Face repository is `owner/repo`");
    };
    if !is_path_part(owner) || !is_path_part(name) {
        return Err("a Hugging Face repository is `owner/repo` in letters, digits, `-`, `_` and `.`");
    }
    if revision.is_some_and(|revision| !is_relative_path(revision)) {
        return Err("the revision is empty or leaves its folder");
    }
    if selector.is_some_and(|selector| !is_relative_path(selector)) {
        return Err("the file or quantisation is empty or leaves its folder");
    }
    Ok(ModelReference::HuggingFace {
        repository: repository.to_owned(),
        revision: revision.map(str::to_owned),
        selector: selector.map(str::to_owned),
    })
}

fn parse_ollama(rest: &str) -> Result<ModelReference, &'static str> {
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (rest, None),
    };
    if !name.split('/').all(is_path_part) || tag.is_some_and(|tag| !is_path_part(tag)) {
        return Err("an Ollama model is `name[:tag]` in letters, digits, `-`, `_` and `.`");
    }
    Ok(ModelReference::Ollama { name: name.to_owned(), tag: tag.map(str::to_owned) })
}

fn is_path_part(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed)
}

fn is_relative_path(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\\'))
}

impl TryFrom<String> for ModelReference {
    type Error = ModelReferenceError;

    fn try_from(text: String) -> Result<Self, ModelReferenceError> {
        text.parse()
    }
}

impl From<ModelReference> for String {
    fn from(reference: ModelReference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for ModelReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HuggingFace { repository, revision, selector } => {
                write!(f, "hf:{repository}")?;
                if let Some(revision) = revision {
                    write!(f, "@{revision}")?;
                }
                selector.as_ref().map_or(Ok(()), |selector| write!(f, ":{selector}"))
            }
            Self::Ollama { name, tag } => {
                write!(f, "ollama:{name}")?;
                tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
            }
            Self::File { path } => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn every_form_survives_a_round_trip() {
        for text in [
            "hf:google/gemma-2b-it",
            "hf:owner/repo@main",
            "hf:owner/repo:Q4_K_M",
            "hf:owner/repo@v1.0:sub/model-Q8_0.gguf",
            "ollama:qwen3",
            "ollama:qwen3:0.6b",
            "ollama:someone/model:latest",
            "file:/models/a b.gguf",
        ] {
            assert_eq!(text.parse::<ModelReference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_absolute_path_is_a_file() {
        assert_eq!("/m/x.gguf".parse::<ModelReference>().unwrap().to_string(), "file:/m/x.gguf");
    }

    #[test]
    fn refuses_what_is_unclear_or_leaves_its_folder() {
        for text in [
            "",
            "model.gguf",
            "file:relative.gguf",
            "hf:",
            "hf:repo",
            "hf:a/b/c",
            "hf:../x",
            "hf:a/b@",
            "hf:a/b:",
            "hf:a/b@../x",
            "hf:a/b:../../etc/passwd",
            "hf:a/b:x\\y",
            "ollama:",
            "ollama:a:",
            "ollama:../x",
            "s3:x",
            "file:/a\0b",
            "hf:a/b\n",
        ] {
            assert!(text.parse::<ModelReference>().is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn a_table_shows_a_short_name() {
        let short = |text: &str| text.parse::<ModelReference>().unwrap().short_name();
        assert_eq!(short("file:/a/b/demo.gguf"), "demo");
        assert_eq!(short("hf:owner/repo:Q4_0"), "repo:Q4_0");
        assert_eq!(short("ollama:qwen3"), "qwen3");
    }
}

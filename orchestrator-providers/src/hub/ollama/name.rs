//! The names of the library's models: `[namespace/]model[:tag]`.
//!
//! Owns: what a reference means here, and where that is at the registry and in a store. Does not own: the store.

use std::fmt;
use std::path::{Path, PathBuf};

use orchestrator_core::model::ModelReference;
use orchestrator_core::provider::ProviderError;

/// The host under which a store keeps what is of the library, whatever address a mirror of it has.
const HOST: &str = "registry.ollama.ai";
/// The namespace of models that are named without one.
const LIBRARY: &str = "library";
/// The tag of models that are named without one.
const LATEST: &str = "latest";
/// The longest part of a name that Ollama takes, in bytes.
const LONGEST_PART: usize = 80;

/// A model of the library.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LibraryName {
    namespace: String,
    model: String,
    tag: String,
}

impl LibraryName {
    /// Takes the name out of a reference.
    pub(super) fn try_new(reference: &ModelReference) -> Result<Self, ProviderError> {
        let refuse = |reason: &str, hint: &str| {
            let (reason, hint) = (reason.to_owned(), Some(hint.to_owned()));
            ProviderError::Refused { reference: reference.clone(), reason, hint }
        };
        let ModelReference::Ollama { name, tag } = reference else {
            return Err(refuse("it names no model of the Ollama library", "such models are named `ollama:name[:tag]`"));
        };
        let (namespace, model) = match name.split('/').collect::<Vec<_>>().as_slice() {
            [model] => (LIBRARY, *model),
            [namespace, model] => (*namespace, *model),
            _ => {
                let hint = "models of other registries are named by where they are: `hf:owner/repo` for Hugging Face";
                return Err(refuse("a name of the Ollama library has at most two parts", hint));
            }
        };
        Self::from_parts(namespace, model, tag.as_deref().unwrap_or(LATEST))
            .ok_or_else(|| refuse("it is no name that Ollama takes", "check the spelling on https://ollama.com/library"))
    }

    /// Puts a name together that was found in a store; `None` for what is no name.
    pub(super) fn from_parts(namespace: &str, model: &str, tag: &str) -> Option<Self> {
        let is_part = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let begins = part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            begins && part.len() <= LONGEST_PART && part.bytes().all(allowed)
        };
        let all = is_part(namespace) && !namespace.contains('.') && is_part(model) && is_part(tag);
        all.then(|| Self { namespace: namespace.to_owned(), model: model.to_owned(), tag: tag.to_owned() })
    }

    /// Returns the reference that names it, as short as it can be.
    pub(super) fn reference(&self) -> ModelReference {
        let tag = (self.tag != LATEST).then(|| self.tag.clone());
        ModelReference::Ollama { name: self.short_model(), tag }
    }

    /// Returns the tag.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns the same model with the tag that is meant where none is named.
    pub(super) fn latest(&self) -> Self {
        Self { tag: LATEST.to_owned(), ..self.clone() }
    }

    /// Returns the model without its tag, and without the namespace of the library itself.
    pub(super) fn short_model(&self) -> String {
        if self.namespace == LIBRARY { self.model.clone() } else { format!("{}/{}", self.namespace, self.model) }
    }

    /// Returns the part of an address at the registry that is its repository's.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.namespace, self.model)
    }

    /// Returns where its tags are listed for people.
    pub(super) fn tags_page(&self) -> String {
        let path = if self.namespace == LIBRARY { format!("{LIBRARY}/{}", self.model) } else { self.repository() };
        format!("https://ollama.com/{path}/tags")
    }

    /// Returns where its manifest lies, from the root of a store.
    pub(super) fn manifest_path(&self, root: &Path) -> PathBuf {
        Self::manifests(root).join(&self.namespace).join(&self.model).join(&self.tag)
    }

    /// Returns the folder of a store that holds the manifests of the library.
    pub(super) fn manifests(root: &Path) -> PathBuf {
        root.join("manifests").join(HOST)
    }
}

/// As Ollama is asked for it.
impl fmt::Display for LibraryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.short_model(), self.tag)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn name(text: &str) -> Result<LibraryName, ProviderError> {
        LibraryName::try_new(&text.parse().unwrap())
    }

    #[test]
    fn a_name_is_filled_up_as_ollama_does() {
        for (text, repository, shown, back) in [
            ("ollama:qwen3", "library/qwen3", "qwen3:latest", "ollama:qwen3"),
            ("ollama:qwen3:0.6b", "library/qwen3", "qwen3:0.6b", "ollama:qwen3:0.6b"),
            ("ollama:library/qwen3:latest", "library/qwen3", "qwen3:latest", "ollama:qwen3"),
            ("ollama:someone/model:v1", "someone/model", "someone/model:v1", "ollama:someone/model:v1"),
        ] {
            let name = name(text).unwrap();
            let found = (name.repository(), name.to_string(), name.reference().to_string());
            assert_eq!(found, (repository.to_owned(), shown.to_owned(), back.to_owned()));
        }
    }

    #[test]
    fn a_manifest_lies_where_ollama_looks_for_it() {
        let path = name("ollama:qwen3:0.6b").unwrap().manifest_path(Path::new("/m"));
        assert_eq!(path, Path::new("/m/manifests/registry.ollama.ai/library/qwen3/0.6b"));
        assert_eq!(name("ollama:me/own").unwrap().tags_page(), "https://ollama.com/me/own/tags");
        assert_eq!(name("ollama:qwen3").unwrap().tags_page(), "https://ollama.com/library/qwen3/tags");
    }

    #[test]
    fn what_ollama_does_not_take_is_refused() {
        for text in ["ollama:hf.co/a/b", "ollama:.hidden", "ollama:a.b/c", "ollama:x:-tag", &format!("ollama:{}", "x".repeat(81))] {
            assert!(name(text).is_err(), "`{text}` was taken");
        }
        assert!(LibraryName::try_new(&"file:/x.gguf".parse().unwrap()).is_err());
        for parts in [("..", "a", "b"), ("a", "..", "b"), ("a", "b", ".."), ("a", "b", ""), ("a", "b/c", "d")] {
            assert!(LibraryName::from_parts(parts.0, parts.1, parts.2).is_none(), "{parts:?}");
        }
    }
}

//! A model as people type it: a reference, or a path. Relative paths are made absolute here, where the current
//! directory is known.

use std::path::Path;

use orchestrator_core::InstanceName;
use orchestrator_core::model::{ModelReference, ModelReferenceError};

use crate::error::CommandError;
use crate::home;

const FILE_SCHEME: &str = "file:";

/// Reads a model reference, or the path of a file that exists.
pub(crate) fn parse(text: &str) -> Result<ModelReference, CommandError> {
    if let Some(path) = text.strip_prefix(FILE_SCHEME) {
        if !path.is_empty() {
            return Ok(ModelReference::try_file(home::absolute(Path::new(path))?)?);
        }
    } else if is_path(text) {
        return Ok(ModelReference::try_file(home::absolute(Path::new(text))?)?);
    }
    text.parse().map_err(|error: ModelReferenceError| error.into())
}

/// Returns whether a text means a model rather than an instance.
#[must_use]
pub(crate) fn looks_like_model(text: &str) -> bool {
    InstanceName::try_new(text).is_err() || Path::new(text).is_file()
}

fn is_path(text: &str) -> bool {
    let path = Path::new(text);
    let looks_like_one =
        text.starts_with(['/', '.', '~']) || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    path.exists() || (looks_like_one && !text.contains(':'))
}

/// Makes an instance name of a model: lowercase letters and digits, everything else a single `-`.
#[must_use]
pub(crate) fn instance_name(reference: &ModelReference) -> Option<InstanceName> {
    let mut name = String::new();
    for character in reference.short_name().chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character.to_ascii_lowercase());
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    name.truncate(40);
    InstanceName::try_new(name.trim_matches('-')).ok()
}

/// Returns a name with a number behind it.
#[must_use]
pub(crate) fn numbered(name: &InstanceName, number: u32) -> Option<InstanceName> {
    InstanceName::try_new(format!("{name}-{number}")).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn parsed(text: &str) -> String {
        parse(text).unwrap().to_string()
    }

    #[test]
    fn paths_become_absolute_file_references() {
        let here = std::env::current_dir().unwrap();
        let expected = format!("file:{}", here.join("models/a.gguf").display());
        for text in ["models/a.gguf", "./models/a.gguf", "file:models/a.gguf", "file:models/../models/a.gguf"] {
            assert_eq!(parsed(text), expected, "{text}");
        }
        assert_eq!(parsed("/m/x.gguf"), "file:/m/x.gguf");
        assert_eq!(parsed("Cargo.toml"), format!("file:{}", here.join("Cargo.toml").display()));
    }

    #[test]
    fn references_pass_as_they_are_and_everything_else_is_refused() {
        assert_eq!(parsed("hf:owner/repo:x-Q8_0.gguf"), "hf:owner/repo:x-Q8_0.gguf");
        assert_eq!(parsed("ollama:qwen3:0.6b"), "ollama:qwen3:0.6b");
        for text in ["", "no-such-thing", "file:", "s3:x"] {
            assert!(parse(text).is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn an_instance_is_named_after_its_model() {
        let name = |text: &str| instance_name(&text.parse().unwrap()).map(|name| name.to_string());
        assert_eq!(name("file:/m/Qwen3-0.6B_Q8_0.gguf").as_deref(), Some("qwen3-0-6b-q8-0"));
        assert_eq!(name("file:/m/__.gguf"), None);
        assert_eq!(name(&format!("file:/m/{}.gguf", "x-".repeat(90))).map(|name| name.len()), Some(39));
        assert_eq!(name("hf:owner/Repo:Q4_0").as_deref(), Some("repo-q4-0"));
    }
}

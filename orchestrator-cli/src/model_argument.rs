//! A model as people type it: a reference, a path, or a repository of Hugging Face without its scheme. Relative paths
//! are made absolute here, where the current directory is known.

use std::path::Path;

use orchestrator_core::model::ModelReference;
use orchestrator_core::{InstanceName, Problem};

use crate::error::CommandError;
use crate::home;

const FILE_SCHEME: &str = "file:";
/// What the addresses of Hugging Face's pages begin with.
const HUB_PAGES: [&str; 3] = ["https://huggingface.co/", "https://hf.co/", "huggingface.co/"];
/// What the addresses of Ollama's pages begin with.
const LIBRARY_PAGES: [&str; 2] = ["https://ollama.com/library/", "ollama.com/library/"];

/// Reads a model reference, the path of a file that exists, or `owner/repo` where no file has that name.
pub(crate) fn parse(text: &str) -> Result<ModelReference, CommandError> {
    if let Some(path) = text.strip_prefix(FILE_SCHEME) {
        if !path.is_empty() {
            return Ok(ModelReference::try_file(home::absolute(Path::new(path))?)?);
        }
    } else if is_path(text) {
        return Ok(ModelReference::try_file(home::absolute(Path::new(text))?)?);
    }
    if let Some(reference) = bare_repository(text) {
        return Ok(reference);
    }
    text.parse::<ModelReference>().map_err(|error| {
        let mut problem = Problem::from(error);
        if let Some(meant) = perhaps_meant(text) {
            problem = problem.with_hint(format!("write `{meant}`, if that is meant"));
        }
        problem.into()
    })
}

/// Reads `owner/repo[@revision][:file-or-quant]`: whatever has one `/` before its first `:` and is nothing else.
fn bare_repository(text: &str) -> Option<ModelReference> {
    let repository = text.split(':').next().unwrap_or(text);
    if repository.matches('/').count() != 1 || text.starts_with(['/', '.', '~']) {
        return None;
    }
    format!("hf:{text}").parse().ok()
}

/// Guesses which reference a text that is none stands for.
fn perhaps_meant(text: &str) -> Option<ModelReference> {
    let below = |pages: &[&str]| pages.iter().find_map(|page| text.strip_prefix(page)).map(str::to_owned);
    let guess = if let Some(rest) = below(&HUB_PAGES) {
        let mut parts = rest.trim_end_matches('/').split('/');
        format!("hf:{}/{}", parts.next()?, parts.next()?)
    } else if let Some(rest) = below(&LIBRARY_PAGES) {
        format!("ollama:{}", rest.trim_end_matches('/'))
    } else if let Some(rest) = text.strip_prefix("huggingface:").or_else(|| text.strip_prefix("hf://")) {
        format!("hf:{rest}")
    } else {
        format!("ollama:{text}")
    };
    guess.parse().ok()
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
        for text in ["", "no-such-thing", "file:", "s3:x", "qwen3:0.6b", "a/b/c", "a/b:", "a/b@"] {
            assert!(parse(text).is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn a_repository_needs_no_scheme_where_nothing_else_can_be_meant() {
        assert_eq!(parsed("Qwen/Qwen3-0.6B-GGUF"), "hf:Qwen/Qwen3-0.6B-GGUF");
        assert_eq!(parsed("owner/repo@v1:Q4_K_M"), "hf:owner/repo@v1:Q4_K_M");
        assert_eq!(parsed("owner/repo:sub/x-Q8_0.gguf"), "hf:owner/repo:sub/x-Q8_0.gguf");
        let here = std::env::current_dir().unwrap();
        assert_eq!(parsed("src/args"), format!("file:{}", here.join("src/args").display()), "what exists here is meant");
        assert_eq!(parsed("models/a.gguf"), format!("file:{}", here.join("models/a.gguf").display()));
    }

    #[test]
    fn a_refusal_names_the_form_that_is_perhaps_meant() {
        for (text, meant) in [
            ("qwen3:0.6b", "ollama:qwen3:0.6b"),
            ("qwen3", "ollama:qwen3"),
            ("https://huggingface.co/Qwen/Qwen3-0.6B-GGUF/tree/main", "hf:Qwen/Qwen3-0.6B-GGUF"),
            ("https://ollama.com/library/qwen3", "ollama:qwen3"),
            ("huggingface:a/b", "hf:a/b"),
        ] {
            let CommandError::Problems(problems) = parse(text).unwrap_err() else { unreachable!("another failure") };
            let hint = problems[0].hint.clone().unwrap_or_default();
            assert!(hint.contains(&format!("`{meant}`")), "{text}: {hint}");
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

//! Looks for what is allowed in a configuration but likely wrong (`orch config lint`).

mod rules;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::DaemonConfig;
use super::error::{ConfigError, Position};
use super::load::{Naming, parse_daemon_config, parse_instance, parse_tree, read_text};
use super::tree::Node;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It works, and could be said better.
    Advice,
    /// It most likely does not do what was meant.
    Warning,
}

impl Severity {
    /// Returns the word as it stands in tables and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Warning => "warning",
        }
    }
}

/// Something that is allowed but likely wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LintFinding {
    /// How much it matters.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub at: Option<Position>,
    /// The path of the key, such as `args[2]`.
    pub key: String,
    /// What was found: a lowercase fragment.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Looks at an instance's configuration.
///
/// # Errors
/// Fails when the configuration cannot be used at all.
pub fn lint_instance(file: &Path, naming: Naming<'_>) -> Result<Vec<LintFinding>, ConfigError> {
    let text = read_text(file)?;
    let spec = parse_instance(&text, file, naming)?;
    let tree = parse_tree(&text, file)?;
    let mut findings = Findings { file, tree: &tree, found: Vec::new() };
    rules::instance(&spec, &mut findings);
    Ok(findings.sorted())
}

/// Looks at the daemon's configuration. A file that is missing has nothing wrong in it.
///
/// # Errors
/// Fails when the configuration cannot be used at all.
pub fn lint_daemon(file: &Path) -> Result<Vec<LintFinding>, ConfigError> {
    let text = match read_text(file) {
        Ok(text) => text,
        Err(ConfigError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let config: DaemonConfig = parse_daemon_config(&text, file)?;
    let tree = parse_tree(&text, file)?;
    let mut findings = Findings { file, tree: &tree, found: Vec::new() };
    rules::daemon(&config, &mut findings);
    Ok(findings.sorted())
}

/// Collects findings about one file.
struct Findings<'a> {
    file: &'a Path,
    tree: &'a Node,
    found: Vec<LintFinding>,
}

impl Findings<'_> {
    /// Adds a finding about a key.
    fn add(&mut self, severity: Severity, keys: &[&str], message: String, hint: &str) {
        let at = self.tree.find(keys).and_then(|node| node.at);
        self.push(severity, at, keys.join("."), message, hint);
    }

    /// Adds a finding about an item of a list.
    fn add_item(&mut self, severity: Severity, list: &str, index: usize, message: String, hint: &str) {
        let at = self.tree.find(&[list]).and_then(|node| node.item(index)).and_then(|item| item.at);
        self.push(severity, at, format!("{list}[{index}]"), message, hint);
    }

    fn push(&mut self, severity: Severity, at: Option<Position>, key: String, message: String, hint: &str) {
        self.found.push(LintFinding { severity, file: self.file.to_path_buf(), at, key, message, hint: hint.to_owned() });
    }

    fn sorted(mut self) -> Vec<LintFinding> {
        self.found.sort_by_key(|finding| finding.at);
        self.found
    }
}

#[cfg(test)]
mod tests;

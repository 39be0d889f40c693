//! What is generated from the types: JSON Schemas, commented default files and the reference page.

use std::fmt::Write;

use schemars::JsonSchema;
use serde_json::Value;

use super::shape::{self, Kind, Property, Shape};
use super::{DaemonConfig, template};
use crate::env::EnvironmentStatus;
use crate::error::Problem;
use crate::event::Event;
use crate::hardware::Hardware;
use crate::instance::spec::Backend;
use crate::instance::{InstanceSpec, InstanceSummary};
use crate::model::{InstalledModel, ModelReference};
use crate::names::InstanceName;
use crate::operation::Operation;
use crate::runtime::RuntimeKind;

/// A file that is generated and checked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Its path below the root of the repository.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

/// Returns every file that is generated from the types of this crate.
#[must_use]
pub fn generated_files() -> Vec<GeneratedFile> {
    let schemas = [
        ("schemas/instance.schema.json", instance_schema()),
        ("schemas/config.schema.json", daemon_schema()),
        ("schemas/problem.schema.json", problem_schema()),
        ("schemas/event.schema.json", event_schema()),
        ("schemas/instance-summary.schema.json", instance_summary_schema()),
        ("schemas/operation.schema.json", titled::<Operation>("Operation")),
        ("schemas/model.schema.json", titled::<InstalledModel>("Installed model")),
        ("schemas/environment.schema.json", titled::<EnvironmentStatus>("Environment")),
        ("schemas/hardware.schema.json", titled::<Hardware>("Hardware")),
    ];
    let mut files: Vec<_> = schemas.into_iter().map(|(path, schema)| GeneratedFile { path, text: format!("{schema:#}\n") }).collect();
    files.push(GeneratedFile { path: "docs/config-reference.md", text: reference_markdown() });
    files.push(GeneratedFile { path: "docs/config.example.yaml", text: template::daemon_yaml() });
    files.extend(example_instance().map(|text| GeneratedFile { path: "docs/instance.example.yaml", text }));
    files
}

/// Returns the schema of an instance's configuration.
#[must_use]
pub fn instance_schema() -> Value {
    titled::<InstanceSpec>("Orchestrator instance configuration")
}

/// Returns the schema of the daemon's configuration.
#[must_use]
pub fn daemon_schema() -> Value {
    titled::<DaemonConfig>("Orchestrator daemon configuration")
}

/// Returns the schema of a failure on the wire (`application/problem+json`).
#[must_use]
pub fn problem_schema() -> Value {
    titled::<Problem>("Problem")
}

/// Returns the schema of an event.
#[must_use]
pub fn event_schema() -> Value {
    titled::<Event>("Event")
}

/// Returns the schema of one row of `orch ps --json`.
#[must_use]
pub fn instance_summary_schema() -> Value {
    titled::<InstanceSummary>("Instance summary")
}

fn titled<T: JsonSchema>(title: &str) -> Value {
    let mut schema = schemars::schema_for!(T);
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

fn example_instance() -> Option<String> {
    let name = InstanceName::try_new("demo").ok()?;
    let model = ModelReference::try_file("/models/demo.gguf").ok()?;
    Some(template::instance_yaml(&template::InitOptions { name, model, runtime: RuntimeKind::LlamaCpp, backend: Backend::Cpu }))
}

/// Returns the reference page of both configurations, as Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Configuration reference\n\n\
         <!-- Generated from the types in orchestrator-core by `cargo xtask gen`. Do not edit. -->\n\n\
         Files are YAML or JSON; one parser reads both. A key that is not known is an error that names the nearest key,\n\
         and all faults of a file are reported together. A key without a value (`server:`) counts as left out.\n\n\
         A **duration** is a number of seconds, or text such as `10m`, `1h30m` or `250ms`.\n\
         A **model reference** is `hf:owner/repo[@revision][:file-or-quant]`, `ollama:name[:tag]` or `file:/path/model.gguf`.\n",
    );
    let parts = [
        ("An instance: `instances/<name>/config.yaml` (or `config.json`)", &*shape::INSTANCE),
        ("The daemon: `config.yaml`", &*shape::DAEMON),
    ];
    for (title, shape) in parts {
        // Writing to a text cannot fail.
        let _ = write!(page, "\n## {title}\n\n{}\n\n", one_line(&shape.description));
        section(&mut page, shape.properties(), "");
    }
    page
}

fn section(page: &mut String, properties: &[Property], path: &str) {
    page.push_str("| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for property in properties {
        let shape = &property.shape;
        let default = match &shape.kind {
            _ if property.required => "required".to_owned(),
            Kind::Section(_) => String::new(),
            Kind::List(_) => "`[]`".to_owned(),
            Kind::Map(_) => "`{}`".to_owned(),
            _ => shape.default.as_ref().map(|default| format!("`{}`", template::inline(default))).unwrap_or_default(),
        };
        let meaning = cell(&one_line(&shape.description));
        let example = shape.example.as_ref().filter(|_| shape.default.is_none() || !matches!(shape.kind, Kind::Integer { .. }));
        let example = example.map(|example| format!(" Example: `{}`.", cell(&template::inline(example)))).unwrap_or_default();
        let _ = writeln!(page, "| `{path}{}` | {} | {default} | {meaning}{example} |", property.name, cell(&type_words(shape)));
    }
    for property in properties {
        let Kind::Section(below) = &property.shape.kind else { continue };
        let path = format!("{path}{}.", property.name);
        let _ = write!(page, "\n### `{}`\n\n{}\n\n", property.name, one_line(&property.shape.description));
        section(page, below, &path);
    }
    if properties.iter().any(|property| matches!(property.shape.kind, Kind::Section(_))) {
        page.push('\n');
    }
}

fn type_words(shape: &Shape) -> String {
    match (&shape.kind, shape.type_name.as_deref()) {
        (_, Some("Duration")) => "duration".to_owned(),
        (_, Some("ModelReference")) => "model reference".to_owned(),
        (_, Some("InstanceName" | "EnvKey")) => "name".to_owned(),
        (Kind::Section(_), _) => "section".to_owned(),
        (Kind::Map(values), _) if values.kind == Kind::Text => "mapping of texts".to_owned(),
        (Kind::Map(_), _) => "mapping".to_owned(),
        (Kind::List(item), _) => format!("list of {}s", type_words(item)),
        (Kind::Choice(choices), _) => {
            let words: Vec<_> = choices.iter().map(|choice| format!("`{}`", choice.word)).collect();
            words.join(", ")
        }
        (Kind::Boolean, _) => "`true`, `false`".to_owned(),
        (Kind::Integer { minimum: Some(minimum), maximum: Some(maximum) }, _) if *maximum <= i128::from(u16::MAX) => {
            format!("whole number {minimum}–{maximum}")
        }
        (Kind::Integer { minimum: Some(minimum @ 0..), .. }, _) => format!("whole number ≥ {minimum}"),
        (Kind::Integer { .. }, _) => "whole number".to_owned(),
        (Kind::Number, _) => "number".to_owned(),
        (Kind::Duration, _) => "duration".to_owned(),
        (Kind::Address, _) => "IP address".to_owned(),
        (Kind::Text, _) => "text".to_owned(),
        (Kind::Any, _) => "any".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::fs;
    use std::path::Path;

    use super::*;

    /// Reads a sample of `tests/configs` and says whether its schema accepts it.
    fn accepts(sample: &str) -> bool {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/configs").join(sample);
        let value: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let schema = if sample.contains("daemon-") { daemon_schema() } else { instance_schema() };
        jsonschema::is_valid(&schema, &value)
    }

    #[test]
    fn editors_that_know_the_schema_agree_with_the_parser() {
        for sample in ["everything.yaml", "minimal.json", "ipv6-host.json", "shared-values.yaml", "daemon-everything.yaml"] {
            assert!(accepts(&format!("valid/{sample}")), "{sample} was refused");
        }
        for sample in [
            "bad-name.yaml",
            "missing-name.yaml",
            "no-model-named.yaml",
            "port-too-large.yaml",
            "two-models.yaml",
            "unknown-key.yaml",
            "wrong-backend.yaml",
            "wrong-type-list.yaml",
            "daemon-unknown-key.yaml",
        ] {
            assert!(!accepts(&format!("invalid/{sample}")), "{sample} was accepted");
        }
    }

    #[test]
    fn the_generated_files_are_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for file in generated_files() {
            let written = fs::read_to_string(root.join(file.path)).unwrap_or_default();
            assert!(written == file.text, "{} is not current: run `cargo xtask gen`", file.path);
        }
    }

    #[test]
    fn the_reference_names_every_key() {
        let page = reference_markdown();
        for path in shape::INSTANCE.all_paths().into_iter().chain(shape::DAEMON.all_paths()) {
            assert!(page.contains(&format!("| `{path}` |")), "{path} is missing");
        }
    }
}

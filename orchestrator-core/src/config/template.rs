//! The commented files that people start from, made from the schema: every key with its description and its default.
//!
//! A `#` directly in front of a key is all that has to go to set it.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::catalog::find_instance_file;
use super::error::ConfigError;
use super::shape::{self, Kind, Property, Shape};
use super::write::write_new;
use crate::instance::spec::{Backend, ToolsMode};
use crate::model::ModelReference;
use crate::names::{EnvKey, InstanceName};
use crate::runtime::RuntimeKind;

/// What a new instance's configuration sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOptions {
    /// The name.
    pub name: InstanceName,
    /// The model.
    pub model: ModelReference,
    /// The kind of engine.
    pub runtime: RuntimeKind,
    /// The kind of device (`--template`).
    pub backend: Backend,
    /// The environment to run in; looked for at each start, when it is left out.
    pub env_key: Option<EnvKey>,
    /// How tool calls are handled; nothing is written for the default.
    pub tools: ToolsMode,
}

impl InitOptions {
    /// Names an instance and its model, and leaves everything else at its default.
    #[must_use]
    pub fn new(name: InstanceName, model: ModelReference) -> Self {
        let (runtime, backend, tools) = (RuntimeKind::default(), Backend::default(), ToolsMode::default());
        Self { name, model, runtime, backend, env_key: None, tools }
    }
}

/// Writes the commented configuration of a new instance and returns its file.
///
/// # Errors
/// Fails when the instance is configured already, or the file cannot be written.
pub fn init_instance(instances_dir: &Path, options: &InitOptions) -> Result<PathBuf, ConfigError> {
    let folder = instances_dir.join(options.name.as_str());
    if let Some(file) = find_instance_file(&folder) {
        return Err(ConfigError::Exists { file });
    }
    let file = folder.join("config.yaml");
    write_new(&file, &instance_yaml(options))?;
    Ok(file)
}

/// Returns the commented configuration of a new instance.
#[must_use]
pub fn instance_yaml(options: &InitOptions) -> String {
    let model = match &options.model {
        ModelReference::File { path } => ("model.path", path.to_string_lossy().into_owned()),
        reference => ("model.ref", reference.to_string()),
    };
    let mut values = vec![
        ("name", options.name.to_string()),
        model,
        ("runtime", options.runtime.as_str().to_owned()),
        ("gpu.backend", options.backend.as_str().to_owned()),
    ];
    values.extend(options.env_key.iter().map(|key| ("env_key", key.to_string())));
    if options.tools != ToolsMode::default() {
        values.push(("tools.mode", options.tools.as_str().to_owned()));
    }
    let title = format!("The instance `{}`. `orch up {}` starts it, `orch config validate` checks this file.", options.name, options.name);
    render(&title, &shape::INSTANCE, &values)
}

/// Returns the commented configuration of the daemon, in which nothing is set.
#[must_use]
pub fn daemon_yaml() -> String {
    render("The daemon's configuration: `config.yaml`. It is read when the daemon starts.", &shape::DAEMON, &[])
}

/// Returns the commented configuration of an instance called `demo`, for the documentation.
#[must_use]
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "both texts are constants, and a test reads the result")]
pub fn example_yaml() -> String {
    let name = InstanceName::try_new("demo").expect("a valid name");
    let model = ModelReference::try_file("/models/demo.gguf").expect("an absolute path");
    instance_yaml(&InitOptions::new(name, model))
}

fn render(title: &str, shape: &Shape, values: &[(&str, String)]) -> String {
    let mut writer = Writer { text: String::new(), values };
    writer.comment(0, title);
    writer.line("#");
    writer.comment(
        0,
        "What stands behind a key that is commented out is its default, or, where it has none, an example. \
         Take the `#` in front of a key away to set it; for a key inside a section, that of the section too.",
    );
    writer.section(shape.properties(), "", 0);
    writer.text
}

struct Writer<'a> {
    text: String,
    values: &'a [(&'a str, String)],
}

impl Writer<'_> {
    fn section(&mut self, properties: &[Property], path: &str, depth: usize) {
        for (index, property) in properties.iter().enumerate() {
            let path = if path.is_empty() { property.name.clone() } else { format!("{path}.{}", property.name) };
            if depth == 0 || index > 0 {
                self.text.push('\n');
            }
            self.property(property, &path, depth);
        }
    }

    fn property(&mut self, property: &Property, path: &str, depth: usize) {
        let shape = &property.shape;
        self.comment(depth, &comment_of(shape));
        let indentation = "  ".repeat(depth);
        let name = &property.name;
        if let Kind::Section(below) = &shape.kind {
            let prefix = format!("{path}.");
            let mark = if self.values.iter().any(|(key, _)| key.starts_with(&prefix)) { "" } else { "#" };
            self.line(&format!("{indentation}{mark}{name}:"));
            self.section(below, path, depth + 1);
            return;
        }
        let line = match self.values.iter().find(|(key, _)| *key == path) {
            Some((_, value)) => format!("{indentation}{name}: {}", inline(&Value::from(value.as_str()))),
            None => match (&shape.default, &shape.example) {
                (Some(default), _) if !is_empty(default) || shape.example.is_none() => format!("{indentation}#{name}: {}", inline(default)),
                (_, Some(example)) => format!("{indentation}#{name}: {}  # an example", inline(example)),
                _ => format!("{indentation}#{name}:"),
            },
        };
        self.line(&line);
    }

    /// Writes a comment, wrapped.
    fn comment(&mut self, depth: usize, text: &str) {
        const WIDTH: usize = 90;
        let indentation = "  ".repeat(depth);
        let mut line = format!("{indentation}#");
        let empty = line.len();
        for word in text.split_whitespace() {
            if line.len() > empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line.truncate(empty);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn comment_of(shape: &Shape) -> String {
    let mut text = shape.description.clone();
    if let Kind::Choice(choices) = &shape.kind {
        let words: Vec<_> = choices.iter().map(|choice| format!("`{}`", choice.word)).collect();
        let _ = match words.as_slice() {
            [only] => write!(text, " Only {only} so far."),
            _ => write!(text, " One of {}.", words.join(", ")),
        };
    }
    text
}

/// Writes a value on one line, as YAML.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}: {}", inline(&Value::from(key.as_str())), inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        // JSON is YAML, but for characters that YAML wants escaped.
        Value::String(_) => value.to_string().chars().flat_map(escape).collect(),
        _ => value.to_string(),
    }
}

fn escape(character: char) -> impl Iterator<Item = char> {
    let odd = matches!(character, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let escaped = if odd { format!("\\u{:04x}", u32::from(character)) } else { character.to_string() };
    escaped.chars().collect::<Vec<_>>().into_iter()
}

/// Returns whether a text needs no quotes: it reads as text everywhere and holds nothing that YAML gives a meaning.
fn is_plain(text: &str) -> bool {
    if is_plain_duration(text) || text.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let reads_as_text = text.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '/');
    let word = !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '/' | '.' | '_' | '-' | '@' | ':');
    reads_as_text && word && text.chars().all(plain) && !text.ends_with(':')
}

/// Returns whether a text is a number with a unit, such as `10m`; `1e5` and `0x1d` are numbers and are not.
fn is_plain_duration(text: &str) -> bool {
    let digits = text.chars().all(|character| character.is_ascii_digit() || "mshd".contains(character));
    digits && text.starts_with(|first: char| first.is_ascii_digit()) && text.ends_with(|last: char| last.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::config::load::{Naming, parse_daemon_config, parse_instance};
    use crate::config::{ConfigDuration, DaemonConfig};
    use crate::instance::InstanceSpec;
    use crate::instance::spec::{RestartPolicySpec, ServerSpec};

    fn options(model: &str) -> InitOptions {
        InitOptions {
            name: InstanceName::try_new("demo").unwrap(),
            model: model.parse().unwrap(),
            runtime: RuntimeKind::LlamaCpp,
            backend: Backend::Vulkan,
            env_key: None,
            tools: ToolsMode::default(),
        }
    }

    fn parse(text: &str) -> InstanceSpec {
        parse_instance(text, Path::new("/home/instances/demo/config.yaml"), Naming::Free).unwrap()
    }

    /// Takes the mark away from every key, as a person would.
    fn switched_on(text: &str) -> String {
        let mut switched = String::new();
        for line in text.lines() {
            let content = line.trim_start();
            let setting = content.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
            let indentation = &line[..line.len() - content.len()];
            writeln!(switched, "{indentation}{}", setting.unwrap_or(content)).unwrap();
        }
        switched
    }

    #[test]
    fn a_template_reads_as_the_spec_it_was_made_from_and_the_defaults() {
        for model in ["file:/models/a b #1: \"x\".gguf", "file:/models/demo.gguf", "hf:owner/repo@v1:sub/x.gguf", "ollama:qwen3:0.6b"] {
            let spec = parse(&instance_yaml(&options(model)));
            assert_eq!(spec.model.reference.to_string(), model);
            assert_eq!((spec.name.as_str(), spec.gpu.backend), ("demo", Backend::Vulkan));
            assert_eq!((spec.server, spec.args, spec.ttl), (ServerSpec::default(), Vec::new(), None));
        }
        assert_eq!(parse_daemon_config(&daemon_yaml(), Path::new("config.yaml")).unwrap(), DaemonConfig::default());
    }

    #[test]
    fn the_example_is_a_configuration() {
        assert_eq!(parse(&example_yaml()).name.as_str(), "demo");
    }

    #[test]
    fn every_commented_setting_can_be_switched_on() {
        let text = switched_on(&instance_yaml(&options("file:/models/demo.gguf"))).replace("  ref: hf:owner/repo:Q4_K_M", "");
        // A command is asked for together with the probe that runs it.
        let text = text.replace("  probe: http", "  probe: command");
        let text: Vec<&str> = text.lines().filter(|line| !line.contains("path: /health")).collect();
        let text = text.join("\n");
        let spec = parse(&text);
        assert_eq!(spec.ttl, Some(ConfigDuration::from_secs(1800)));
        assert_eq!(spec.server.port.unwrap().get(), 8601);
        assert_eq!(spec.restart_policy, RestartPolicySpec::default());
        let config = parse_daemon_config(&switched_on(&daemon_yaml()), Path::new("config.yaml")).unwrap();
        assert_eq!((config.limits.turn, config.limits.max_body_mb), (ConfigDuration::from_secs(30), 32));
        assert_eq!(config.limits.max_running.unwrap().get(), 2);
        assert_eq!(config.gateway.allowed_hosts, ["models.example.org"]);
    }

    #[test]
    fn a_template_shows_every_key_in_lines_of_readable_length() {
        let text = instance_yaml(&options("hf:owner/repo"));
        for path in shape::INSTANCE.all_paths() {
            let name = path.rsplit('.').next().unwrap();
            assert!(text.lines().any(|line| line.trim_start().trim_start_matches('#').starts_with(&format!("{name}:"))), "{path}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 90));
    }

    #[test]
    fn an_instance_is_written_once() {
        let home = tempfile::tempdir().unwrap();
        let options = options("hf:owner/repo");
        let file = init_instance(home.path(), &options).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), instance_yaml(&options));
        assert!(matches!(init_instance(home.path(), &options), Err(ConfigError::Exists { file: there }) if there == file));
        std::fs::rename(&file, file.with_file_name("config.json")).unwrap();
        assert!(matches!(init_instance(home.path(), &options), Err(ConfigError::Exists { .. })));
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "a half file was left behind");
    }
}

//! The reference page of both configurations, made from the schema.

use std::fmt::Write;

use super::shape::{self, Kind, Property, Shape};
use super::template;

/// Returns the page as Markdown.
#[must_use]
pub fn markdown() -> String {
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
    use super::*;

    #[test]
    fn the_reference_names_every_key() {
        let page = markdown();
        for path in shape::INSTANCE.all_paths().into_iter().chain(shape::DAEMON.all_paths()) {
            assert!(page.contains(&format!("| `{path}` |")), "{path} is missing");
        }
    }
}

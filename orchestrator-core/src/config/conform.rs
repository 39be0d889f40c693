//! Compares a tree with the shape of its schema and names everything that does not fit: unknown and missing keys,
//! wrong types, words and numbers. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::error::{ConfigFault, MOST_FAULTS, Position};
use super::shape::{Choice, Kind, Property, Shape};
use super::tree::{Key, Node, Value, shorten};
use super::{ConfigDuration, nearest};
use crate::error::Coded;
use crate::model::ModelReference;
use crate::names::{EnvKey, InstanceName};

/// Lists what does not fit. Takes out known keys that have no value (`server:`): they count as left out.
pub(super) fn conform(root: &mut Node, shape: &Shape) -> Vec<ConfigFault> {
    let mut checker = Checker { root: shape, faults: Vec::new() };
    checker.check(root, shape, "");
    checker.faults
}

struct Checker<'a> {
    root: &'a Shape,
    faults: Vec<ConfigFault>,
}

impl Checker<'_> {
    fn report(&mut self, fault: ConfigFault) {
        self.faults.push(fault);
    }

    fn check(&mut self, node: &mut Node, shape: &Shape, path: &str) {
        // What lies behind the last fault that is reported need not be looked at.
        if self.faults.len() >= MOST_FAULTS {
            return;
        }
        match (&shape.kind, &mut node.value) {
            (Kind::Section(properties), Value::Map(entries)) => self.check_section(entries, properties, node.at, path),
            (Kind::Map(values), Value::Map(entries)) => {
                for (key, value) in entries {
                    self.check(value, values, &join(path, &key.name));
                }
            }
            (Kind::List(item), Value::List(items)) => {
                for (index, value) in items.iter_mut().enumerate() {
                    self.check(value, item, &format!("{path}[{index}]"));
                }
            }
            (Kind::Integer { minimum, maximum }, Value::Integer(number)) => {
                let above = minimum.is_none_or(|minimum| *number >= minimum);
                let below = maximum.is_none_or(|maximum| *number <= maximum);
                if !above || !below {
                    self.wrong(node, shape, path);
                }
            }
            (Kind::Choice(choices), Value::Text(word)) => {
                if !choices.iter().any(|choice| choice.word == *word) {
                    let fault = unknown_word(node.at, path, word, choices);
                    self.report(fault);
                }
            }
            (Kind::Address, Value::Text(text)) => {
                if text.parse::<IpAddr>().is_err() {
                    self.wrong(node, shape, path);
                }
            }
            (Kind::Duration, value @ (Value::Integer(_) | Value::Float(_) | Value::Text(_))) => {
                let text = match value {
                    Value::Integer(number) => number.to_string(),
                    Value::Float(number) => number.to_string(),
                    Value::Text(text) => text.clone(),
                    _ => String::new(),
                };
                if text.parse::<ConfigDuration>().is_err() {
                    self.wrong(node, shape, path);
                }
            }
            (Kind::Text, Value::Text(text)) => {
                if let Some(fault) = refused_text(text, shape.type_name.as_deref(), node.at, path) {
                    self.report(fault);
                }
            }
            (Kind::Any, _) | (Kind::Boolean, Value::Bool(_)) | (Kind::Number, Value::Integer(_) | Value::Float(_)) => {}
            _ => self.wrong(node, shape, path),
        }
    }

    fn check_section(&mut self, entries: &mut Vec<(Key, Node)>, properties: &[Property], at: Option<Position>, path: &str) {
        let known = |key: &Key| properties.iter().find(|property| property.name == key.name);
        entries.retain(|(key, value)| value.value != Value::Null || known(key).is_none());
        let mut present = BTreeSet::new();
        for (key, value) in entries {
            if let Some(property) = known(key) {
                present.insert(property.name.as_str());
                self.check(value, &property.shape, &join(path, &key.name));
            } else if self.faults.len() < MOST_FAULTS {
                let fault = self.unknown_key(key, properties, path);
                self.report(fault);
            }
        }
        for property in properties.iter().filter(|property| property.required && !present.contains(property.name.as_str())) {
            let key = join(path, &property.name);
            self.report(ConfigFault::new(at, &key, format!("the key `{key}` is missing")).with_hint(format!(
                "add `{}`: {}",
                property.name,
                lower_first(&property.shape.description)
            )));
        }
    }

    fn unknown_key(&self, key: &Key, properties: &[Property], path: &str) -> ConfigFault {
        let full = join(path, &key.name);
        let names = properties.iter().map(|property| property.name.as_str());
        let fault = ConfigFault::new(key.at, &full, format!("unknown key `{full}`"));
        if let Some(name) = nearest::nearest(&key.name, names.clone()) {
            return fault.with_hint(format!("did you mean `{name}`?"));
        }
        let elsewhere: Vec<_> = self.root.all_paths();
        let same_name = |known: &&String| known.rsplit('.').next().is_some_and(|last| nearest::same_word(last, &key.name));
        if let Some(known) = elsewhere.iter().find(same_name) {
            let (section, name) = known.rsplit_once('.').unwrap_or(("", known));
            return fault.with_hint(if section.is_empty() {
                format!("`{name}` stands at the top of the file, in no section")
            } else {
                format!("did you mean `{known}`? it belongs into the section `{section}`")
            });
        }
        let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        let place = if path.is_empty() { "the keys are".to_owned() } else { format!("the keys of `{path}` are") };
        fault.with_hint(format!("{place} {}", names.join(", ")))
    }

    fn wrong(&mut self, node: &Node, shape: &Shape, path: &str) {
        let subject = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        let message = format!("{subject} must be {}, found {}", expected(shape), found(&node.value, path));
        let fault = ConfigFault::new(node.at, path, message);
        let fault = match hint_for(node, shape, path) {
            Some(hint) => fault.with_hint(hint),
            None => fault,
        };
        self.report(fault);
    }
}

/// Joins two parts of a path.
pub(super) fn join(path: &str, name: &str) -> String {
    let name = shorten(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn unknown_word(at: Option<Position>, path: &str, word: &str, choices: &[Choice]) -> ConfigFault {
    let words: Vec<_> = choices.iter().map(|choice| format!("`{}`", choice.word)).collect();
    let allowed = match words.as_slice() {
        [only] => format!("{only}, the only choice there is"),
        _ => format!("one of {}", words.join(", ")),
    };
    let fault = ConfigFault::new(at, path, format!("`{path}` must be {allowed}; found `{}`", shorten(word)));
    match nearest::nearest(word, choices.iter().map(|choice| choice.word.as_str())) {
        Some(word) => fault.with_hint(format!("did you mean `{word}`?")),
        None => fault,
    }
}

/// Checks a text whose type knows more rules than the schema can say.
fn refused_text(text: &str, type_name: Option<&str>, at: Option<Position>, path: &str) -> Option<ConfigFault> {
    let refusal = match type_name? {
        "InstanceName" => InstanceName::try_new(text).err().map(|error| (error.to_string(), error.hint())),
        "EnvKey" => EnvKey::try_new(text).err().map(|error| (error.to_string(), error.hint())),
        "ModelReference" => text.parse::<ModelReference>().err().map(|error| (error.to_string(), error.hint())),
        _ => None,
    };
    let (message, hint) = refusal?;
    let fault = ConfigFault::new(at, path, format!("`{path}`: {message}"));
    Some(match hint {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    })
}

/// Says what a shape expects, in words.
pub(super) fn expected(shape: &Shape) -> String {
    match &shape.kind {
        Kind::Section(_) | Kind::Map(_) => "a mapping (keys with values)".to_owned(),
        Kind::List(item) => match item.kind {
            Kind::Text => "a list of texts".to_owned(),
            _ => "a list".to_owned(),
        },
        Kind::Choice(choices) => {
            let words: Vec<_> = choices.iter().map(|choice| format!("`{}`", choice.word)).collect();
            words.join(" or ")
        }
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Integer { minimum: Some(minimum), maximum: Some(maximum) } if *maximum <= i128::from(u16::MAX) => {
            format!("a whole number from {minimum} to {maximum}")
        }
        Kind::Integer { minimum: Some(minimum @ 0..), .. } => format!("a whole number of at least {minimum}"),
        Kind::Integer { .. } => "a whole number".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Duration => "a duration".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Address => "an IP address".to_owned(),
        Kind::Any => "a value".to_owned(),
    }
}

/// Says what was found, in words. Values of `env` may be secrets, so they are not shown.
fn found(value: &Value, path: &str) -> String {
    let secret = path.starts_with("env.");
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) if secret => "an unquoted value".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Integer(value) => format!("the number `{value}`"),
        Value::Float(value) => format!("the number `{value:?}`"),
        Value::Text(_) if secret => "a text".to_owned(),
        Value::Text(value) => format!("the text `{}`", shorten(value)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

fn hint_for(node: &Node, shape: &Shape, path: &str) -> Option<String> {
    let secret = path.starts_with("env.");
    match (&shape.kind, &node.value) {
        (Kind::Text, Value::Integer(_) | Value::Float(_) | Value::Bool(_)) if secret => Some("put the value in quotes".to_owned()),
        (Kind::Text | Kind::Address, Value::Integer(number)) => Some(format!("put it in quotes: `\"{number}\"`")),
        (Kind::Text | Kind::Address, Value::Float(number)) => Some(format!("put it in quotes: `\"{number:?}\"`")),
        (Kind::Text, Value::Bool(value)) => Some(format!("put it in quotes: `\"{value}\"`")),
        (Kind::Boolean, Value::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`, without quotes".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`, without quotes".to_owned()),
            _ => None,
        },
        (Kind::Integer { .. } | Kind::Number, Value::Text(text)) if text.trim().parse::<f64>().is_ok() => {
            Some("leave out the quotes".to_owned())
        }
        (Kind::Integer { minimum: Some(1..), .. }, Value::Integer(0)) if shape.default.is_none() => {
            Some("leave the key out for the default".to_owned())
        }
        (Kind::List(_), Value::Text(_) | Value::Integer(_) | Value::Float(_)) => {
            Some("write a list: `[first, second]`, or one `- item` a line".to_owned())
        }
        (Kind::Section(properties), _) => {
            let names: Vec<_> = properties.iter().map(|property| format!("`{}`", property.name)).collect();
            Some(format!("its keys are {}", names.join(", ")))
        }
        (Kind::Map(_), _) => Some("write one `NAME: value` a line below it".to_owned()),
        (Kind::Duration, _) => Some("write seconds as a number, or text such as `10m`, `1h30m` or `250ms`".to_owned()),
        (Kind::Address, Value::Text(text)) if text == "localhost" => Some("write `127.0.0.1`".to_owned()),
        (Kind::Address, _) => Some("write an address such as `127.0.0.1` or `::1`".to_owned()),
        _ => None,
    }
}

fn lower_first(text: &str) -> String {
    let text = text.replace('\n', " ");
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

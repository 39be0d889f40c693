//! The text of a configuration as a tree in which every key and value knows its place.
//!
//! One parser reads YAML and JSON. It is bounded: size, depth, number of values, and what aliases may unfold to.

mod typed;

pub(super) use typed::deserialize;

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error as YamlError, MessageFormatter, NonFiniteFloatPolicy, Spanned, UserMessageFormatter};

use super::error::{ConfigFault, Position};

/// The deepest nesting of lists and mappings that is read.
const DEEPEST: usize = 32;

/// The most values that are read, after aliases were replaced by what they stand for.
const MOST_VALUES: usize = 50_000;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Option<Position>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Option<Position>,
}

impl Node {
    /// Returns the value under a chain of keys.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| match &node.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == *name).map(|(_, value)| value),
            _ => None,
        })
    }

    /// Returns the item of a list.
    pub(super) fn item(&self, index: usize) -> Option<&Self> {
        match &self.value {
            Value::List(items) => items.get(index),
            _ => None,
        }
    }

    /// Returns the value under a chain of keys, to be changed.
    pub(super) fn find_mut(&mut self, path: &[&str]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, name| match &mut node.value {
            Value::Map(entries) => entries.iter_mut().find(|(key, _)| key.name == *name).map(|(_, value)| value),
            _ => None,
        })
    }

    /// Returns the place of a key.
    pub(super) fn key_position(&self, path: &[&str]) -> Option<Position> {
        let (last, parents) = path.split_last()?;
        match &self.find(parents)?.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == *last).and_then(|(key, _)| key.at),
            _ => None,
        }
    }
}

/// Reads a text of YAML or JSON.
pub(super) fn parse(text: &str) -> Result<Node, ConfigFault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST + 1,
            max_documents: 2,
            max_nodes: MOST_VALUES,
            max_events: 4 * MOST_VALUES,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 100,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_VALUES, max_replay_stack_depth: DEEPEST },
        duplicate_keys: DuplicateKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        reject_unsupported_tags: true,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| explain(&error, text))
}

fn position(location: serde_saphyr::Location) -> Option<Position> {
    let line = u32::try_from(location.line()).ok()?;
    let column = u32::try_from(location.column()).ok()?;
    (line > 0).then_some(Position { line, column })
}

/// Says what the parser found, in the words of somebody who writes configurations.
fn explain(error: &YamlError, text: &str) -> ConfigFault {
    let at = error.location().and_then(position);
    let mut error = error.without_snippet();
    while let YamlError::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    match error {
        YamlError::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map(shorten).unwrap_or_default();
            ConfigFault::new(at, key.clone(), format!("the key `{key}` stands here a second time")).with_hint("keep one of them")
        }
        YamlError::MultipleDocuments { .. } => {
            ConfigFault::new(at, "", "a second document begins here").with_hint("write one document, without `---` in the middle")
        }
        YamlError::Budget { .. } | YamlError::AliasReplayLimitExceeded { .. } | YamlError::AliasReplayStackDepthExceeded { .. } => {
            too_much(at)
        }
        // The parser stops deep flow collections (`[[[…`) before the budget does.
        YamlError::ExternalMessage { msg, .. } if msg.contains("recursion limit") => too_much(at),
        YamlError::UnknownAnchor { .. } => {
            ConfigFault::new(at, "", "an alias (`*name`) stands for nothing").with_hint("put text that starts with `*` in quotes")
        }
        YamlError::UnsupportedTag { tag, .. } => ConfigFault::new(at, "", format!("the tag `{}` is not understood", shorten(tag)))
            .with_hint("put text that starts with `!` in quotes"),
        YamlError::NonFiniteFloat { value, .. } => ConfigFault::new(at, "", format!("`{}` is no finite number", shorten(value))),
        _ => {
            let fault = ConfigFault::new(at, "", format!("this is neither YAML nor JSON: {}", message_of(error)));
            match syntax_hint(text, at) {
                Some(hint) => fault.with_hint(hint),
                None => fault,
            }
        }
    }
}

fn too_much(at: Option<Position>) -> ConfigFault {
    ConfigFault::new(at, "", "the file is nested too deeply, or its aliases unfold to too much")
        .with_hint(format!("at most {DEEPEST} levels and {MOST_VALUES} values are read"))
}

fn message_of(error: &YamlError) -> String {
    let message = UserMessageFormatter.format_message(error);
    let mut message: String = message.chars().take(300).flat_map(char::escape_debug).collect();
    while message.ends_with('.') {
        message.pop();
    }
    message.replace("\\'", "'").replace("\\\"", "\"")
}

/// Names the usual slips at the place where the parser gave up.
fn syntax_hint(text: &str, at: Option<Position>) -> Option<&'static str> {
    let index = usize::try_from(at?.line).ok()?.checked_sub(1)?;
    let mut near = text.lines().skip(index.saturating_sub(1)).take(2);
    if near.any(|line| line.chars().take_while(|character| character.is_whitespace()).any(|character| character == '\t')) {
        return Some("indent with spaces: YAML allows no tabs there");
    }
    let line = text.lines().nth(index)?;
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start();
    if value.starts_with(['@', '`', '%']) || (value.contains(": ") && !line.trim_start().starts_with('{')) {
        return Some("put text that holds `: `, or starts with `@`, `%` or a backtick, in quotes");
    }
    if line.trim_start().starts_with('{') {
        return Some("is a bracket, a comma or a quote missing?");
    }
    if line.starts_with(' ') {
        return Some("give keys of the same section the same indentation");
    }
    None
}

/// Cuts a text to a readable length and escapes control characters.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(escape).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

fn escape(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_debug());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, at: position(spanned.referenced) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let key = Key { name: key.value, at: position(key.referenced) };
            entries.push((key, access.next_value()?));
        }
        Ok(Value::Map(entries))
    }
}

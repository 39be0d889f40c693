//! What the schema of a configuration says about each key: the one source of known keys, types, limits, defaults
//! and descriptions for messages, templates and reference pages.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::DaemonConfig;
use crate::instance::InstanceSpec;

/// The shape of an instance's configuration.
pub(super) static INSTANCE: LazyLock<Shape> = LazyLock::new(shape_of::<InstanceSpec>);

/// The shape of the daemon's configuration.
pub(super) static DAEMON: LazyLock<Shape> = LazyLock::new(shape_of::<DaemonConfig>);

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The name of the type in the schema, where it has one.
    pub(super) type_name: Option<String>,
    pub(super) description: String,
    pub(super) default: Option<Value>,
    pub(super) example: Option<Value>,
}

/// The kind of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A mapping with known keys, in the order of the type's declaration.
    Section(Vec<Property>),
    /// A mapping with any keys.
    Map(Box<Shape>),
    List(Box<Shape>),
    /// One of several words.
    Choice(Vec<Choice>),
    Boolean,
    Integer {
        minimum: Option<i128>,
        maximum: Option<i128>,
    },
    Number,
    Duration,
    Text,
    /// The text of an IP address.
    Address,
    Any,
}

/// A key of a section.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) shape: Shape,
}

/// A word that is allowed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    pub(super) word: String,
    pub(super) description: String,
}

impl Shape {
    /// Returns the keys of a section.
    pub(super) fn properties(&self) -> &[Property] {
        match &self.kind {
            Kind::Section(properties) => properties,
            _ => &[],
        }
    }

    /// Returns the paths of all keys, such as `server.port`, sections included.
    pub(super) fn all_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for property in self.properties() {
            paths.push(property.name.clone());
            paths.extend(property.shape.all_paths().into_iter().map(|below| format!("{}.{below}", property.name)));
        }
        paths
    }
}

fn shape_of<T: JsonSchema>() -> Shape {
    let root = schemars::schema_for!(T).to_value();
    let definitions = root.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    Builder { definitions }.shape(&root)
}

struct Builder {
    definitions: Map<String, Value>,
}

impl Builder {
    fn shape(&self, schema: &Value) -> Shape {
        let (target, type_name) = self.resolve(schema);
        let text = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
        Shape {
            kind: self.kind(target, type_name.as_deref()),
            description: text(schema).or_else(|| text(target)).unwrap_or_default(),
            default: schema.get("default").filter(|default| !default.is_null()).cloned(),
            example: schema.get("examples").and_then(|examples| examples.get(0)).cloned(),
            type_name,
        }
    }

    /// Follows references, and takes the side of an optional value that is not null.
    fn resolve<'a>(&'a self, schema: &'a Value) -> (&'a Value, Option<String>) {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix("#/$defs/"))
            && let Some(target) = self.definitions.get(name)
        {
            return (target, Some(name.to_owned()));
        }
        let sides = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_null = |side: &Value| side.get("type").and_then(Value::as_str) == Some("null");
        match sides {
            [side, null] if is_null(null) => self.resolve(side),
            _ => (schema, None),
        }
    }

    fn kind(&self, schema: &Value, type_name: Option<&str>) -> Kind {
        if type_name == Some("Duration") {
            return Kind::Duration;
        }
        if let Some(choices) = choices(schema) {
            return Kind::Choice(choices);
        }
        match type_of(schema) {
            Some("object") => self.object(schema),
            Some("array") => Kind::List(Box::new(schema.get("items").map_or_else(anything, |items| self.shape(items)))),
            Some("boolean") => Kind::Boolean,
            Some("integer") => integer(schema),
            Some("number") => Kind::Number,
            Some("string") if schema.get("format").and_then(Value::as_str) == Some("ip") => Kind::Address,
            Some("string") => Kind::Text,
            _ => Kind::Any,
        }
    }

    fn object(&self, schema: &Value) -> Kind {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            let values = schema.get("additionalProperties").filter(|values| values.is_object());
            return Kind::Map(Box::new(values.map_or_else(anything, |values| self.shape(values))));
        };
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let property = |(name, property): (&String, &Value)| Property {
            name: name.clone(),
            required: required.contains(&name.as_str()),
            shape: self.shape(property),
        };
        Kind::Section(properties.iter().map(property).collect())
    }
}

fn anything() -> Shape {
    Shape { kind: Kind::Any, type_name: None, description: String::new(), default: None, example: None }
}

fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

fn choices(schema: &Value) -> Option<Vec<Choice>> {
    let word =
        |word: &Value, description: &str| word.as_str().map(|word| Choice { word: word.to_owned(), description: description.to_owned() });
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(|value| word(value, "")).collect();
    }
    let sides = schema.get("oneOf").and_then(Value::as_array)?;
    let described = |side: &Value| {
        let description = side.get("description").and_then(Value::as_str).unwrap_or_default();
        side.get("const").and_then(|value| word(value, description))
    };
    sides.iter().map(described).collect()
}

fn integer(schema: &Value) -> Kind {
    let limit = |key: &str| schema.get(key).and_then(Value::as_i64).map(i128::from);
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let (lowest, highest) = match format {
        "int32" => (Some(i128::from(i32::MIN)), Some(i128::from(i32::MAX))),
        "int64" => (Some(i128::from(i64::MIN)), Some(i128::from(i64::MAX))),
        "uint32" => (Some(0), Some(i128::from(u32::MAX))),
        "uint64" | "uint" => (Some(0), Some(i128::from(u64::MAX))),
        _ => (None, None),
    };
    Kind::Integer { minimum: limit("minimum").or(lowest), maximum: limit("maximum").or(highest) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn keys_stand_in_the_order_of_their_declaration() {
        let names = |shape: &Shape| shape.properties().iter().map(|property| property.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&INSTANCE)[..3], ["name", "model", "runtime"]);
        let model = INSTANCE.properties().iter().find(|property| property.name == "model").unwrap();
        assert_eq!(names(&model.shape)[..3], ["ref", "path", "context_size"]);
        assert_eq!(names(&DAEMON)[0], "gateway");
    }

    #[test]
    fn every_key_has_a_description_and_a_known_kind() {
        fn check(shape: &Shape, path: &str) {
            for property in shape.properties() {
                let path = format!("{path}.{}", property.name);
                assert!(!property.shape.description.is_empty(), "{path} has no description");
                assert_ne!(property.shape.kind, Kind::Any, "{path} is of no known kind");
                check(&property.shape, &path);
            }
        }
        check(&INSTANCE, "instance");
        check(&DAEMON, "daemon");
    }

    #[test]
    fn paths_reach_into_sections() {
        let paths = INSTANCE.all_paths();
        for path in ["server", "server.port", "model.ref", "restart_policy.max_delay"] {
            assert!(paths.iter().any(|known| known == path), "{path} is missing");
        }
    }
}

//! The envelope: the one form in which a model calls tools or answers.
//!
//! Owns the wire form (`{"v":1,"type":"tool_calls","calls":[…]}` or `{"v":1,"type":"final","content":"…"}`),
//! its JSON Schema, and reading it from a JSON value with findings that name the place. It does not know
//! which tools exist: [`ToolSet`](crate::ToolSet) does. Envelopes of every version ever published keep parsing.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize, ser::SerializeStruct};
use serde_json::{Map, Value, json};

use crate::verdict::Problem;

/// The version of the envelope that this crate writes.
pub const ENVELOPE_VERSION: u64 = 1;

/// One call of one tool; the host assigns ids, the order in the envelope is the order of the calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The exact name of the tool.
    pub name: String,
    /// The arguments, an object that matches the tool's schema.
    pub arguments: Map<String, Value>,
}

/// What a model says in one turn: either calls of tools or a final answer, never both.
#[derive(Debug, Clone, PartialEq)]
pub enum Envelope {
    /// One or more tools are to be called.
    ToolCalls {
        /// The calls, in order.
        calls: Vec<Call>,
    },
    /// The model answers in words.
    Final {
        /// The answer.
        content: String,
    },
}

impl Envelope {
    /// The calls, or nothing for a final answer.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        match self {
            Self::ToolCalls { calls } => calls,
            Self::Final { .. } => &[],
        }
    }

    /// The final answer, if this is one.
    #[must_use]
    pub fn content(&self) -> Option<&str> {
        match self {
            Self::ToolCalls { .. } => None,
            Self::Final { content } => Some(content),
        }
    }

    /// Reads an envelope from a JSON value, or lists what is wrong with it.
    ///
    /// # Errors
    /// Every finding as `{pointer, keyword, expected}`; at least one.
    pub fn from_value(value: Value) -> Result<Self, Vec<Problem>> {
        let Value::Object(mut object) = value else {
            return Err(vec![Problem::new("", "type", "object")]);
        };
        let mut problems = Vec::new();
        match object.get("v") {
            Some(version) if is_version(version) => {}
            Some(_) => problems.push(Problem::new("/v", "const", "1")),
            None => problems.push(Problem::new("", "required", "v")),
        }
        let (kind, body_key) = match object.get("type") {
            Some(Value::String(kind)) if kind == "tool_calls" => (Kind::ToolCalls, "calls"),
            Some(Value::String(kind)) if kind == "final" => (Kind::Final, "content"),
            Some(_) => {
                problems.push(Problem::new("/type", "enum", "tool_calls | final"));
                return Err(problems);
            }
            None => {
                problems.push(Problem::new("", "required", "type"));
                return Err(problems);
            }
        };
        for key in object.keys() {
            if key != "v" && key != "type" && key != body_key {
                problems.push(Problem::unexpected("", key));
            }
        }
        let envelope = match (kind, object.remove(body_key)) {
            (_, None) => {
                problems.push(Problem::new("", "required", body_key));
                None
            }
            (Kind::Final, Some(Value::String(content))) => Some(Self::Final { content }),
            (Kind::Final, Some(_)) => {
                problems.push(Problem::new("/content", "type", "string"));
                None
            }
            (Kind::ToolCalls, Some(Value::Array(items))) => Some(Self::ToolCalls { calls: read_calls(items, &mut problems) }),
            (Kind::ToolCalls, Some(_)) => {
                problems.push(Problem::new("/calls", "type", "array"));
                None
            }
        };
        match envelope {
            Some(envelope) if problems.is_empty() => Ok(envelope),
            _ => Err(problems),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    ToolCalls,
    Final,
}

/// Says whether a value is a version this crate reads; JSON does not tell `1` from `1.0`.
fn is_version(value: &Value) -> bool {
    value.as_u64() == Some(ENVELOPE_VERSION) || value.as_f64() == Some(1.0)
}

fn read_calls(items: Vec<Value>, problems: &mut Vec<Problem>) -> Vec<Call> {
    if items.is_empty() {
        problems.push(Problem::new("/calls", "minItems", "1"));
    }
    let mut calls = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let Value::Object(mut object) = item else {
            problems.push(Problem::new(format!("/calls/{index}"), "type", "object"));
            continue;
        };
        for key in object.keys() {
            if key != "name" && key != "arguments" {
                problems.push(Problem::unexpected(&format!("/calls/{index}"), key));
            }
        }
        let name = match object.remove("name") {
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                problems.push(Problem::new(format!("/calls/{index}/name"), "type", "string"));
                None
            }
            None => {
                problems.push(Problem::new(format!("/calls/{index}"), "required", "name"));
                None
            }
        };
        let arguments = match object.remove("arguments") {
            Some(Value::Object(arguments)) => Some(arguments),
            Some(_) => {
                problems.push(Problem::new(format!("/calls/{index}/arguments"), "type", "object"));
                None
            }
            None => {
                problems.push(Problem::new(format!("/calls/{index}"), "required", "arguments"));
                None
            }
        };
        if let (Some(name), Some(arguments)) = (name, arguments) {
            calls.push(Call { name, arguments });
        }
    }
    calls
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut wire = serializer.serialize_struct("Envelope", 3)?;
        wire.serialize_field("v", &ENVELOPE_VERSION)?;
        match self {
            Self::ToolCalls { calls } => {
                wire.serialize_field("type", "tool_calls")?;
                wire.serialize_field("calls", calls)?;
            }
            Self::Final { content } => {
                wire.serialize_field("type", "final")?;
                wire.serialize_field("content", content)?;
            }
        }
        wire.end()
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(value).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            serde::de::Error::custom(format_args!("not an envelope: {first}"))
        })
    }
}

/// One or more tools are to be called.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct ToolCallsWire {
    v: Version,
    #[schemars(rename = "type", extend("const" = "tool_calls"))]
    kind: String,
    #[schemars(length(min = 1))]
    calls: Vec<Call>,
}

/// The model answers in words.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct FinalWire {
    v: Version,
    #[schemars(rename = "type", extend("const" = "final"))]
    kind: String,
    /// The answer.
    content: String,
}

/// The version of the envelope.
struct Version;

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = Schema::default();
        schema.insert("const".to_owned(), json!(ENVELOPE_VERSION));
        schema
    }
}

impl JsonSchema for Envelope {
    fn schema_name() -> Cow<'static, str> {
        "Envelope".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let calls = ToolCallsWire::json_schema(generator);
        let answer = FinalWire::json_schema(generator);
        let mut schema = Schema::default();
        schema
            .insert("description".to_owned(), json!("What a model says in one turn: either calls of tools or a final answer, never both."));
        schema.insert("anyOf".to_owned(), json!([calls, answer]));
        schema
    }
}

/// The JSON Schema (2020-12) of the envelope for any tool set; `schemas/envelope.schema.json` holds it.
#[must_use]
pub fn envelope_schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Envelope>().to_value()
}

#[cfg(test)]
mod tests;

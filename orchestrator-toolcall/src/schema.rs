//! JSON Schemas: validating a value against one, and reducing one to what engines accept as a constraint.

mod portable;
mod validate;

use serde_json::{Value, json};

pub use portable::portable;
pub use validate::Validator;

use crate::error::ToolError;

/// The deepest schema that is taken, in levels of JSON.
const MAX_DEPTH: usize = 64;

/// The largest schema that is taken, in values of JSON.
const MAX_VALUES: usize = 20_000;

/// Refuses schemas so deep or large that walking them would be a risk.
pub(crate) fn check_bounds(schema: &Value, subject: &str) -> Result<(), ToolError> {
    let refuse = |reason: String| Err(ToolError::Schema { subject: subject.to_owned(), reason });
    let mut open = vec![(schema, 0)];
    let mut values = 0_usize;
    while let Some((value, depth)) = open.pop() {
        values += 1;
        if depth > MAX_DEPTH {
            return refuse(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        if values > MAX_VALUES {
            return refuse(format!("it has more than {MAX_VALUES} values"));
        }
        match value {
            Value::Object(object) => open.extend(object.values().map(|value| (value, depth + 1))),
            Value::Array(items) => open.extend(items.iter().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// The same schema with undeclared properties forbidden wherever an object declares its properties by itself.
pub(crate) fn close(schema: &Value) -> Value {
    let Value::Object(object) = schema else {
        return schema.clone();
    };
    let mut closed = object.clone();
    let is_composed = ["allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas", "patternProperties"]
        .iter()
        .any(|keyword| object.contains_key(*keyword));
    let says = object.contains_key("additionalProperties") || object.contains_key("unevaluatedProperties");
    if object.contains_key("properties") && !is_composed && !says {
        closed.insert("additionalProperties".to_owned(), json!(false));
    }
    for keyword in ["properties", "$defs", "definitions"] {
        if let Some(Value::Object(members)) = closed.get_mut(keyword) {
            for (_, member) in members {
                *member = close(member);
            }
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(member @ Value::Object(_)) = closed.get_mut(keyword) {
            *member = close(member);
        }
    }
    for keyword in ["anyOf", "oneOf", "prefixItems"] {
        if let Some(Value::Array(members)) = closed.get_mut(keyword) {
            for member in members {
                *member = close(member);
            }
        }
    }
    Value::Object(closed)
}

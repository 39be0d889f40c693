//! JSON Schemas: validating a value against one, and reducing one to what engines accept as a constraint.

mod cost;
mod portable;
mod validate;

use serde_json::{Value, json};

pub use portable::portable;
pub use validate::Validator;

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

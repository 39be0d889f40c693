//! Changing types where the owner of a tool said that it may be done.
//!
//! Owns the policy and the conversions. Only a value whose type the schema refuses is touched, and only into
//! the type it asks for; whoever calls this validates the result in full.

use serde_json::{Number, Value};

use crate::limits::Limits;
use crate::repair::parse_strict;
use crate::schema::Validator;

/// Which types of one tool's arguments may be changed; everything is off unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each switch allows one conversion")]
pub struct Coercion {
    /// `"5"` may become `5`.
    pub numbers_from_text: bool,
    /// `"true"` may become `true`.
    pub booleans_from_text: bool,
    /// `5` and `true` may become `"5"` and `"true"`.
    pub text_from_scalars: bool,
    /// A string that holds a JSON object or array may become that object or array; so may the arguments themselves.
    pub containers_from_text: bool,
    /// `"a"` may become `["a"]`.
    pub arrays_from_items: bool,
    /// Whether calls that were changed may run without asking anybody.
    pub may_run: bool,
}

impl Coercion {
    /// Every conversion, for calls that are confirmed before they run.
    pub const ALL: Self = Self {
        numbers_from_text: true,
        booleans_from_text: true,
        text_from_scalars: true,
        containers_from_text: true,
        arrays_from_items: true,
        may_run: false,
    };
}

/// How often the findings are looked at again, because a conversion can bring up new ones.
const MAX_ROUNDS: usize = 4;

/// Changes types until the value matches; says whether anything was changed.
pub(super) fn coerce(value: &mut Value, validator: &Validator, policy: Coercion) -> bool {
    let mut changed = false;
    for _ in 0..MAX_ROUNDS {
        let mut progress = false;
        for (pointer, types) in validator.type_findings(value) {
            let Some(slot) = value.pointer_mut(&pointer) else {
                continue;
            };
            if let Some(converted) = types.iter().find_map(|wanted| convert(slot, wanted, policy)) {
                *slot = converted;
                progress = true;
            }
        }
        if !progress {
            break;
        }
        changed = true;
    }
    changed
}

/// The object a string of arguments holds, if the policy allows reading it.
pub(super) fn arguments_from_text(value: &Value, policy: Coercion) -> Option<Value> {
    convert(value, "object", policy)
}

fn convert(value: &Value, wanted: &str, policy: Coercion) -> Option<Value> {
    match (value, wanted) {
        (Value::String(text), "integer" | "number") if policy.numbers_from_text => match parse_strict(text.as_bytes(), &Limits::DEFAULT) {
            Ok(Value::Number(number)) => as_wanted(number, wanted),
            _ => None,
        },
        (Value::String(text), "boolean") if policy.booleans_from_text => match text.as_str() {
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        (Value::Number(_) | Value::Bool(_), "string") if policy.text_from_scalars => Some(Value::String(value.to_string())),
        (Value::String(text), "object" | "array") if policy.containers_from_text && text.trim_start().starts_with(['{', '[']) => {
            let held = parse_strict(text.as_bytes(), &Limits::DEFAULT).ok()?;
            (held.is_object() == (wanted == "object")).then_some(held)
        }
        (item, "array") if policy.arrays_from_items && !item.is_null() => Some(Value::Array(vec![item.clone()])),
        _ => None,
    }
}

fn as_wanted(number: Number, wanted: &str) -> Option<Value> {
    let is_whole = number.is_i64() || number.is_u64();
    (wanted == "number" || is_whole).then_some(Value::Number(number))
}

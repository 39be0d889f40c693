//! placeholder
use serde_json::Value;
pub(crate) fn is_like_envelope(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        object.contains_key("v")
            || object.contains_key("calls")
            || matches!(object.get("type"), Some(Value::String(kind)) if kind == "tool_calls" || kind == "final")
    })
}

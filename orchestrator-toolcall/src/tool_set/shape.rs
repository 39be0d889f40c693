//! The shapes in which protocols describe tools.

use serde_json::Value;

use super::tool::Tool;
use crate::error::ToolError;

/// A protocol's shape of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"type":"function","function":{"name","description","parameters"}}`, or the same without the nesting.
    OpenAi,
    /// `{"name","description","input_schema"}`.
    Anthropic,
    /// `{"name","description","inputSchema"}`.
    Mcp,
}

/// Reads a list of tools, or an object that holds one as `tools`.
pub(super) fn read(tools: &Value, shape: Option<Shape>) -> Result<Vec<Tool>, ToolError> {
    let (place, list) = match tools.get("tools") {
        Some(list) => ("/tools", list),
        None => ("", tools),
    };
    let Some(list) = list.as_array() else {
        return Err(ToolError::Shape { place: place.to_owned(), reason: "expected an array of tools" });
    };
    list.iter().enumerate().map(|(index, tool)| one(tool, shape, &format!("{place}/{index}"))).collect()
}

fn one(tool: &Value, shape: Option<Shape>, place: &str) -> Result<Tool, ToolError> {
    let refuse = |reason| Err(ToolError::Shape { place: place.to_owned(), reason });
    if !tool.is_object() {
        return refuse("expected an object");
    }
    let (tool, key) = match shape.unwrap_or_else(|| guess(tool)) {
        Shape::OpenAi => {
            if tool.get("type").is_some_and(|kind| kind != "function") {
                return refuse("only tools of type `function` are supported");
            }
            (tool.get("function").unwrap_or(tool), "parameters")
        }
        Shape::Anthropic => {
            if tool.get("type").is_some_and(|kind| kind != "custom" && !kind.is_null()) {
                return refuse("only tools of type `custom` are supported");
            }
            (tool, "input_schema")
        }
        Shape::Mcp => (tool, "inputSchema"),
    };
    let Some(name) = tool.get("name").and_then(Value::as_str) else {
        return refuse("`name` is missing or no string");
    };
    let description = match tool.get("description") {
        None | Some(Value::Null) => None,
        Some(Value::String(description)) => Some(description.as_str()),
        Some(_) => return refuse("`description` is no string"),
    };
    match tool.get(key) {
        None | Some(Value::Null) => Tool::try_new(name, description, Value::Null),
        Some(schema @ Value::Object(_)) => Tool::try_new(name, description, schema.clone()),
        Some(_) => refuse("the schema of the arguments is no object"),
    }
}

fn guess(tool: &Value) -> Shape {
    if tool.get("input_schema").is_some() {
        Shape::Anthropic
    } else if tool.get("inputSchema").is_some() {
        Shape::Mcp
    } else {
        Shape::OpenAi
    }
}

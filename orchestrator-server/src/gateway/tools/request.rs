//! What a client asks for when it offers tools: read from the body, checked, and split into what the engine is
//! shown and what is handled here. Pure.

use orchestrator_core::Problem;
use orchestrator_toolcall::{ToolChoice, ToolSet};
use serde_json::{Map, Value, json};

use super::error::ToolRequestError;

/// A chat request that offers tools.
#[derive(Debug, Clone)]
pub(crate) struct ToolRequest {
    /// What is neither the messages nor handled here: sampling and whatever else the engine knows.
    pub(super) fields: Map<String, Value>,
    /// The conversation as the client sent it.
    pub(super) messages: Vec<Value>,
    /// The tools with the client's choice among them.
    pub(super) tools: ToolSet,
    /// The fields about tools, as the client sent them.
    pub(super) native: Map<String, Value>,
    /// Whether and how the answer is streamed.
    pub(super) delivery: Delivery,
    /// The most tokens the answer may have.
    pub(super) cap: Option<u64>,
    /// The texts that end an answer in words.
    pub(super) stops: Vec<String>,
}

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In one piece.
    Whole,
    /// As a stream of events.
    Stream {
        /// Whether a last event tells the usage.
        with_usage: bool,
    },
}

/// The fields that are about tools.
const NATIVE: [&str; 3] = ["tools", "tool_choice", "parallel_tool_calls"];
/// The fields that are handled here, or that would get in the way of a constraint.
const OURS: [&str; 11] = [
    "messages",
    "stream",
    "stream_options",
    "stop",
    "n",
    "logprobs",
    "top_logprobs",
    "response_format",
    "functions",
    "function_call",
    "json_schema",
];

impl ToolRequest {
    /// Reads a request; nothing when it offers no tools after all.
    ///
    /// # Errors
    /// Fails when the body is no JSON object, when a tool cannot be used, or when a field is not understood.
    pub(crate) fn read(body: &[u8]) -> Result<Option<Self>, Problem> {
        let mut fields: Map<String, Value> = serde_json::from_slice(body).map_err(|error| super::super::routing::describe(&error))?;
        let offers = fields.get("tools").is_some_and(|tools| tools.as_array().is_none_or(|tools| !tools.is_empty()) && !tools.is_null());
        if !offers {
            return Ok(None);
        }
        Ok(Some(Self::from_fields(&mut fields)?))
    }

    fn from_fields(fields: &mut Map<String, Value>) -> Result<Self, ToolRequestError> {
        let tools = tools_of(fields)?;
        let Some(Value::Array(messages)) = fields.remove("messages") else {
            return Err(ToolRequestError::Field { field: "messages", reason: "a list of messages is expected" });
        };
        if fields.get("n").is_some_and(|n| !n.is_null() && n.as_u64() != Some(1)) {
            return Err(ToolRequestError::Together { field: "n", reason: "there is one answer to each request" });
        }
        let is_free = |format: &Value| format.is_null() || format["type"] == "text";
        if fields.get("response_format").is_some_and(|format| !is_free(format)) {
            let reason = "one answer cannot be held to both";
            return Err(ToolRequestError::Together { field: "response_format", reason });
        }
        let delivery = if fields.get("stream") == Some(&Value::Bool(true)) {
            let with_usage = fields.get("stream_options").is_some_and(|options| options["include_usage"] == true);
            Delivery::Stream { with_usage }
        } else {
            Delivery::Whole
        };
        let stops = match fields.get("stop") {
            Some(Value::String(stop)) => vec![stop.clone()],
            Some(Value::Array(stops)) => stops.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        let cap = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| fields.get(*name).and_then(Value::as_u64));
        let mut native = Map::new();
        for name in NATIVE {
            if let Some(value) = fields.remove(name) {
                native.insert(name.to_owned(), value);
            }
        }
        for name in OURS {
            fields.remove(name);
        }
        fields.remove("grammar");
        Ok(Self { fields: std::mem::take(fields), messages, tools, native, delivery, cap, stops })
    }
}

fn tools_of(fields: &Map<String, Value>) -> Result<ToolSet, ToolRequestError> {
    // In an object of their own, so that errors say `/tools/3`.
    let tools = ToolSet::from_openai(&json!({ "tools": fields.get("tools") }))?;
    let tools = tools.with_choice(choice_of(fields.get("tool_choice"))?)?;
    match fields.get("parallel_tool_calls") {
        None | Some(Value::Null | Value::Bool(true)) => Ok(tools),
        Some(Value::Bool(false)) => Ok(tools.with_max_calls(1)),
        Some(_) => Err(ToolRequestError::Field { field: "parallel_tool_calls", reason: "true or false is expected" }),
    }
}

fn choice_of(choice: Option<&Value>) -> Result<ToolChoice, ToolRequestError> {
    let unknown = ToolRequestError::Field {
        field: "tool_choice",
        reason: "`auto`, `none`, `required` or `{\"type\":\"function\",\"function\":{\"name\":\"…\"}}` is expected",
    };
    match choice {
        None | Some(Value::Null) => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(unknown),
        },
        Some(choice) if choice["type"] == "function" => {
            // Chat completions nest the name; responses do not.
            let name = choice["function"]["name"].as_str().or_else(|| choice["name"].as_str());
            name.map(|name| ToolChoice::Named(name.to_owned())).ok_or(unknown)
        }
        Some(_) => Err(unknown),
    }
}

//! A set of tools: the entry point of this crate.
//!
//! Owns the tools with their compiled schemas and what is allowed with them (which may be called, how many at
//! once, which are read-only, which types may be coerced). Judging a text against a set is in `tool_set/judge`,
//! reading descriptions of tools in `tool_set/shape`.

mod coerce;
mod judge;
mod shape;
mod structure;
mod tool;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

pub use coerce::Coercion;
pub use tool::Tool;

use crate::envelope::Envelope;
use crate::error::ToolError;
use crate::limits::Limits;
use crate::verdict::{Fidelity, Finish, Verdict};
use shape::Shape;

/// Which tools a model may or must call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// Calls or a final answer.
    #[default]
    Auto,
    /// A final answer only.
    None,
    /// At least one call.
    Required,
    /// Calls of this one tool only.
    Named(String),
}

/// The most tools of one set.
const MAX_TOOLS: usize = 1024;

/// How many calls one envelope may hold when nothing else is said.
const DEFAULT_MAX_CALLS: usize = 16;

/// Tools that a model may call, with everything needed to judge what it writes.
///
/// Schemas are compiled once; clones share them, so a clone with another [`ToolChoice`] costs little.
///
/// # Examples
/// ```
/// use orchestrator_toolcall::{Fidelity, Finish, ToolSet};
/// use serde_json::json;
///
/// let tools = ToolSet::from_openai(&json!([{"type": "function", "function": {
///     "name": "weather",
///     "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
/// }}]))?;
///
/// let text = "Sure!\n```json\n{\"v\":1,\"type\":\"tool_calls\",\"calls\":[{\"name\":\"weather\",\"arguments\":{\"city\":\"Łódź\"}}]}\n```";
/// let verdict = tools.parse(text, Finish::Stop);
/// assert_eq!(verdict.fidelity, Fidelity::Extracted);
/// assert_eq!(verdict.calls()[0].arguments["city"], "Łódź");
///
/// let wrong = tools.parse(r#"{"v":1,"type":"tool_calls","calls":[{"name":"weather","arguments":{}}]}"#, Finish::Stop);
/// assert!(!wrong.is_accepted());
/// assert_eq!(wrong.errors[0].to_string(), "`required` at /calls/0/arguments: expected city");
/// # Ok::<(), orchestrator_toolcall::ToolError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ToolSet {
    tools: Vec<Tool>,
    index: Arc<HashMap<String, usize>>,
    choice: ToolChoice,
    max_calls: usize,
    limits: Limits,
}

impl ToolSet {
    /// Builds a set from the `tools` of an OpenAI request, in the shape of chat completions or of responses.
    ///
    /// # Errors
    /// The value has another shape, or a name or schema cannot be used.
    pub fn from_openai(tools: &Value) -> Result<Self, ToolError> {
        Self::from_tools(shape::read(tools, Some(Shape::OpenAi))?)
    }

    /// Builds a set from the `tools` of an Anthropic request.
    ///
    /// # Errors
    /// As [`ToolSet::from_openai`].
    pub fn from_anthropic(tools: &Value) -> Result<Self, ToolError> {
        Self::from_tools(shape::read(tools, Some(Shape::Anthropic))?)
    }

    /// Builds a set from the result of MCP's `tools/list`. Annotations are not trusted and not read.
    ///
    /// # Errors
    /// As [`ToolSet::from_openai`].
    pub fn from_mcp(tools: &Value) -> Result<Self, ToolError> {
        Self::from_tools(shape::read(tools, Some(Shape::Mcp))?)
    }

    /// Builds a set from any of the known shapes, told apart tool by tool.
    ///
    /// # Errors
    /// As [`ToolSet::from_openai`].
    pub fn from_json(tools: &Value) -> Result<Self, ToolError> {
        Self::from_tools(shape::read(tools, None)?)
    }

    /// Builds a set from tools.
    ///
    /// # Errors
    /// Two tools have one name, or there are too many.
    pub fn from_tools(tools: Vec<Tool>) -> Result<Self, ToolError> {
        if tools.len() > MAX_TOOLS {
            return Err(ToolError::TooMany { count: tools.len(), limit: MAX_TOOLS });
        }
        let mut index = HashMap::with_capacity(tools.len());
        for (position, tool) in tools.iter().enumerate() {
            if index.insert(tool.name().to_owned(), position).is_some() {
                return Err(ToolError::DuplicateName { name: tool.name().to_owned() });
            }
        }
        Ok(Self { tools, index: Arc::new(index), choice: ToolChoice::Auto, max_calls: DEFAULT_MAX_CALLS, limits: Limits::DEFAULT })
    }

    /// The same set with another choice of what may or must be called.
    ///
    /// # Errors
    /// The choice names a tool that is not in the set.
    pub fn with_choice(mut self, choice: ToolChoice) -> Result<Self, ToolError> {
        if let ToolChoice::Named(name) = &choice
            && self.tool(name).is_none()
        {
            return Err(ToolError::UnknownTool { name: name.clone() });
        }
        self.choice = choice;
        Ok(self)
    }

    /// The same set with at most this many calls in one envelope; one call is always allowed.
    #[must_use]
    pub fn with_max_calls(mut self, max_calls: usize) -> Self {
        self.max_calls = max_calls.max(1);
        self
    }

    /// The same set with other limits on the texts it judges.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same set with a tool marked as one that changes nothing, so that repaired calls of it may run.
    ///
    /// # Errors
    /// There is no such tool.
    pub fn with_read_only(mut self, name: &str) -> Result<Self, ToolError> {
        self.tool_mut(name)?.read_only = true;
        Ok(self)
    }

    /// The same set with a policy that lets the types of one tool's arguments be changed.
    ///
    /// # Errors
    /// There is no such tool.
    pub fn with_coercion(mut self, name: &str, coercion: Coercion) -> Result<Self, ToolError> {
        self.tool_mut(name)?.coercion = Some(coercion);
        Ok(self)
    }

    /// The tools, in the order they were given.
    #[must_use]
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// The tool of exactly this name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.index.get(name).and_then(|position| self.tools.get(*position))
    }

    /// What may or must be called.
    #[must_use]
    pub const fn choice(&self) -> &ToolChoice {
        &self.choice
    }

    /// How many calls one envelope may hold.
    #[must_use]
    pub const fn max_calls(&self) -> usize {
        self.max_calls
    }

    /// The limits on the texts this set judges.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Judges what a model wrote.
    ///
    /// Never fails: a text that cannot be read, or does not match, gets a verdict without an envelope. Takes
    /// time linear in the length of the text, whatever it is.
    #[must_use]
    pub fn parse(&self, text: impl AsRef<[u8]>, finish: Finish) -> Verdict {
        judge::text(self, text.as_ref(), finish)
    }

    /// Judges one native tool call: a name and the text of its arguments, as OpenAI-like engines return them.
    ///
    /// # Examples
    /// ```
    /// # use orchestrator_toolcall::{Fidelity, Finish, ToolSet};
    /// # let tools = ToolSet::from_openai(&serde_json::json!([{"type": "function", "function": {"name": "look"}}]))?;
    /// let verdict = tools.parse_call("look", "{at: 'the sea'}", Finish::Stop);
    /// assert_eq!(verdict.fidelity, Fidelity::Repaired);
    /// # Ok::<(), orchestrator_toolcall::ToolError>(())
    /// ```
    #[must_use]
    pub fn parse_call(&self, name: &str, arguments: impl AsRef<[u8]>, finish: Finish) -> Verdict {
        judge::call(self, name, arguments.as_ref(), finish)
    }

    /// Judges an envelope that exists as data already.
    #[must_use]
    pub fn check(&self, envelope: Envelope) -> Verdict {
        judge::envelope(self, envelope)
    }

    /// Says whether the calls of a verdict may run without asking anybody.
    #[must_use]
    pub fn may_run(&self, verdict: &Verdict) -> bool {
        let all = |allowed: &dyn Fn(&Tool) -> bool| verdict.calls().iter().all(|call| self.tool(&call.name).is_some_and(allowed));
        verdict.is_accepted()
            && match verdict.fidelity {
                Fidelity::Exact | Fidelity::Extracted => true,
                Fidelity::Repaired => all(&Tool::is_read_only),
                Fidelity::Coerced => all(&|tool| tool.coercion().is_some_and(|coercion| coercion.may_run)),
                Fidelity::Ambiguous => false,
            }
    }

    /// The full JSON Schema of the envelopes of this set: what every accepted text matches.
    #[must_use]
    pub fn full_schema(&self) -> Value {
        self.envelope_schema(Tool::parameters)
    }

    /// The portable JSON Schema of the envelopes of this set, for an engine to constrain generation with.
    ///
    /// It accepts everything that the full schema accepts and more, so results are still to be validated.
    #[must_use]
    pub fn portable_schema(&self) -> Value {
        self.envelope_schema(Tool::portable_parameters)
    }

    /// The tools that the choice leaves.
    pub(crate) fn callable(&self) -> impl Iterator<Item = &Tool> {
        self.tools.iter().filter(|tool| self.may_call(tool.name()))
    }

    pub(crate) fn may_call(&self, name: &str) -> bool {
        match &self.choice {
            ToolChoice::Auto | ToolChoice::Required => true,
            ToolChoice::None => false,
            ToolChoice::Named(only) => only == name,
        }
    }

    pub(crate) const fn may_answer(&self) -> bool {
        matches!(self.choice, ToolChoice::Auto | ToolChoice::None)
    }

    pub(crate) fn envelope_schema<'a>(&'a self, parameters: impl Fn(&'a Tool) -> &'a Value) -> Value {
        let mut calls: Vec<Value> = self
            .callable()
            .map(|tool| closed(&json!({"name": {"const": tool.name()}, "arguments": parameters(tool)}), &["name", "arguments"]))
            .collect();
        let mut kinds = Vec::new();
        if !calls.is_empty() {
            let items = if calls.len() == 1 { calls.remove(0) } else { json!({"anyOf": calls}) };
            kinds.push(closed(
                &json!({
                    "v": {"const": 1},
                    "type": {"const": "tool_calls"},
                    "calls": {"type": "array", "minItems": 1, "maxItems": self.max_calls, "items": items}
                }),
                &["v", "type", "calls"],
            ));
        }
        if self.may_answer() || kinds.is_empty() {
            kinds.push(closed(
                &json!({"v": {"const": 1}, "type": {"const": "final"}, "content": {"type": "string"}}),
                &["v", "type", "content"],
            ));
        }
        json!({"anyOf": kinds})
    }

    fn tool_mut(&mut self, name: &str) -> Result<&mut Tool, ToolError> {
        self.index
            .get(name)
            .and_then(|position| self.tools.get_mut(*position))
            .ok_or_else(|| ToolError::UnknownTool { name: name.to_owned() })
    }
}

fn closed(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

#[cfg(test)]
mod tests;

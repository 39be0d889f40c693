//! What an engine is told to hold generation to, and what is tried when it refuses.
//!
//! Owns the small description of what a runtime can do, and the ladder of constraints from the tools' schemas
//! down to nothing. Sending the constraint, and recognising a refusal, is the business of the caller.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::tool_set::ToolSet;

/// The form in which a runtime takes constraints on generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConstraintForm {
    /// A JSON Schema.
    JsonSchema,
    /// A grammar in GBNF.
    Grammar,
    /// None: the prompt has to do.
    #[default]
    Unsupported,
}

/// Where a runtime takes stop sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopForm {
    /// Strings that end generation, at most so many.
    Strings {
        /// The most strings that are taken.
        limit: usize,
    },
    /// Strings, and ids of special tokens in a field of their own.
    StringsAndTokens {
        /// The most strings that are taken.
        limit: usize,
    },
    /// Nowhere.
    #[default]
    Unsupported,
}

/// What a runtime can do for strict calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuntimeCapabilities {
    /// The form in which it takes constraints.
    pub constraint: ConstraintForm,
    /// Where it takes stop sequences.
    pub stop: StopForm,
    /// Whether it returns native tool calls by itself.
    pub native_tools: bool,
}

/// A constraint on generation; [`Constraint::weaker`] is one step down the ladder.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// The portable schema of the tools.
    Tools(Value),
    /// The envelope with the tools' names and any arguments.
    Envelope(Value),
    /// The envelope with the tools' names and any arguments, in GBNF.
    Grammar(String),
    /// Nothing but the prompt.
    None,
}

impl Constraint {
    /// The strongest constraint that a runtime takes for a set of tools.
    #[must_use]
    pub fn strongest(tools: &ToolSet, capabilities: &RuntimeCapabilities) -> Self {
        match capabilities.constraint {
            ConstraintForm::JsonSchema => Self::Tools(tools.portable_schema()),
            ConstraintForm::Grammar => Self::Grammar(grammar(tools)),
            ConstraintForm::Unsupported => Self::None,
        }
    }

    /// The next weaker constraint, for when the engine refuses this one; nothing below no constraint.
    #[must_use]
    pub fn weaker(&self, tools: &ToolSet) -> Option<Self> {
        match self {
            Self::Tools(_) => Some(Self::Envelope(tools.outline_schema())),
            Self::Envelope(_) | Self::Grammar(_) => Some(Self::None),
            Self::None => None,
        }
    }

    /// The name of the step, for logs and events.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tools(_) => "tools",
            Self::Envelope(_) => "envelope",
            Self::Grammar(_) => "grammar",
            Self::None => "none",
        }
    }

    /// The JSON Schema, if this is one.
    #[must_use]
    pub const fn schema(&self) -> Option<&Value> {
        match self {
            Self::Tools(schema) | Self::Envelope(schema) => Some(schema),
            Self::Grammar(_) | Self::None => None,
        }
    }
}

impl ToolSet {
    /// The JSON Schema of the envelope with the tools' names, and any object as arguments.
    #[must_use]
    pub fn outline_schema(&self) -> Value {
        let any = json!({"type": "object"});
        self.envelope_schema(|_| &any)
    }
}

/// The grammar of the envelope with the tools' names; whitespace only where it is harmless.
fn grammar(tools: &ToolSet) -> String {
    let names: Vec<String> = tools.callable().map(|tool| format!("\"\\\"{}\\\"\"", tool.name())).collect();
    let mut kinds = Vec::new();
    let mut rules = String::new();
    if !names.is_empty() {
        kinds.push("calls");
        let more = tools.max_calls() - 1;
        let _ = write!(
            rules,
            "calls ::= \"{{\\\"v\\\":1,\\\"type\\\":\\\"tool_calls\\\",\\\"calls\\\":[\" call (\",\" call){{0,{more}}} \"]}}\"\n\
             call ::= \"{{\\\"name\\\":\" name \",\\\"arguments\\\":\" object \"}}\"\n\
             name ::= {}\n",
            names.join(" | ")
        );
    }
    if tools.may_answer() || names.is_empty() {
        kinds.push("final");
        rules.push_str("final ::= \"{\\\"v\\\":1,\\\"type\\\":\\\"final\\\",\\\"content\\\":\" string \"}\"\n");
    }
    format!(
        "root ::= {}\n{rules}\
         object ::= \"{{\" (member (\",\" ws member)*)? \"}}\"\n\
         member ::= string \":\" ws value\n\
         array ::= \"[\" (value (\",\" ws value)*)? \"]\"\n\
         value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n\
         string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{{4}}))* \"\\\"\"\n\
         number ::= \"-\"? (\"0\" | [1-9] [0-9]{{0,15}}) (\".\" [0-9]{{1,15}})? ([eE] [-+]? [0-9]{{1,2}})?\n\
         ws ::= \" \"?\n",
        kinds.join(" | ")
    )
}

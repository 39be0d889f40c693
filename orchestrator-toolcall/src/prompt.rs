//! Telling a model, in words, how to call tools: a grammar alone drives it out of distribution.
//!
//! Owns the instructions per family of models, and the stop sequences that cannot occur inside a valid envelope.
//! It writes no chat template: the engine does that with the messages it is given.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::constraint::{RuntimeCapabilities, StopForm};
use crate::tool_set::{Tool, ToolChoice, ToolSet};

/// A family of models, as far as it matters for the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ModelFamily {
    /// Nothing is known about it.
    #[default]
    Generic,
    /// Qwen, Hermes and others that speak `ChatML`.
    ChatMl,
    /// Llama 3 and later.
    Llama,
    /// Mistral and its relatives.
    Mistral,
    /// Gemma, whose template has no place for a system message.
    Gemma,
    /// gpt-oss, which answers in channels.
    GptOss,
    /// `DeepSeek` and its distillations, which think first and want no system message.
    DeepSeek,
    /// Phi.
    Phi,
}

impl ModelFamily {
    /// Guesses the family from a model's name.
    #[must_use]
    pub fn of_model(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let families: [(&[&str], Self); 7] = [
            (&["deepseek", "r1-distill"], Self::DeepSeek),
            (&["gpt-oss"], Self::GptOss),
            (&["qwen", "hermes", "qwq", "smollm", "chatml"], Self::ChatMl),
            (&["gemma"], Self::Gemma),
            (&["mistral", "mixtral", "ministral", "devstral", "magistral", "codestral"], Self::Mistral),
            (&["llama"], Self::Llama),
            (&["phi-", "phi3", "phi4"], Self::Phi),
        ];
        families.into_iter().find(|(parts, _)| parts.iter().any(|part| name.contains(part))).map_or(Self::Generic, |(_, family)| family)
    }

    const fn placement(self) -> Placement {
        match self {
            Self::Gemma | Self::DeepSeek => Placement::FirstUserMessage,
            _ => Placement::SystemMessage,
        }
    }

    /// What this family has to be told beyond the rest.
    const fn habit(self) -> Option<&'static str> {
        match self {
            Self::ChatMl => Some("Do not use <tool_call> tags."),
            Self::Llama => Some("Do not use <|python_tag|> and do not write function(arg=value)."),
            Self::Mistral => Some("Do not write [TOOL_CALLS]."),
            Self::GptOss => Some("Write the JSON object in the final channel, not in the commentary channel."),
            Self::DeepSeek => Some("You may think first. After the thinking, write the JSON object and nothing else."),
            Self::Gemma => Some("Do not write a tool_code block."),
            Self::Generic | Self::Phi => None,
        }
    }

    /// The special tokens that end a turn of this family.
    const fn end_tokens(self) -> &'static [&'static str] {
        match self {
            Self::Generic => &[],
            Self::ChatMl => &["<|im_end|>"],
            Self::Llama => &["<|eot_id|>", "<|eom_id|>"],
            Self::Mistral => &["</s>"],
            Self::Gemma => &["<end_of_turn>"],
            Self::GptOss => &["<|return|>", "<|call|>"],
            Self::DeepSeek => &["<｜end▁of▁sentence｜>"],
            Self::Phi => &["<|end|>"],
        }
    }
}

/// Where the instructions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Into the system message, after what the client wrote there.
    SystemMessage,
    /// Before the first user message, because the template has no system message.
    FirstUserMessage,
}

/// Instructions for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Where it goes.
    pub placement: Placement,
}

impl Prompt {
    /// Writes the instructions for a set of tools.
    ///
    /// # Examples
    /// ```
    /// use orchestrator_toolcall::{ModelFamily, Placement, Prompt, ToolSet};
    ///
    /// let tools = ToolSet::from_json(&serde_json::json!([{"name": "look", "input_schema": {"type": "object"}}]))?;
    /// let prompt = Prompt::new(&tools, ModelFamily::of_model("gemma-3-4b-it"));
    /// assert_eq!(prompt.placement, Placement::FirstUserMessage);
    /// assert!(prompt.text.contains(r#"{"v":1,"type":"tool_calls","calls":["#));
    /// # Ok::<(), orchestrator_toolcall::ToolError>(())
    /// ```
    #[must_use]
    pub fn new(tools: &ToolSet, family: ModelFamily) -> Self {
        let mut text = String::from("Answer with one JSON object and nothing else: no prose around it, no code fence, no comments.\n");
        let callable: Vec<&Tool> = tools.callable().collect();
        if !callable.is_empty() {
            text.push_str("\nTo call tools, write:\n");
            text.push_str(r#"{"v":1,"type":"tool_calls","calls":[{"name":"TOOL","arguments":{}}]}"#);
            text.push('\n');
        }
        if tools.may_answer() || callable.is_empty() {
            text.push_str("\nTo answer in words, write:\n");
            text.push_str(r#"{"v":1,"type":"final","content":"TEXT"}"#);
            text.push('\n');
        }
        text.push_str("\nRules:\n");
        for rule in rules(tools, &callable) {
            let _ = writeln!(text, "- {rule}");
        }
        if let Some(habit) = family.habit() {
            let _ = writeln!(text, "- {habit}");
        }
        if !callable.is_empty() {
            text.push_str("\nTools, with the JSON Schema of their arguments:\n");
            for tool in callable {
                let _ = writeln!(text, "{}", described(tool));
            }
        }
        Self { text, placement: family.placement() }
    }
}

fn rules(tools: &ToolSet, callable: &[&Tool]) -> Vec<String> {
    let mut rules = vec!["Keys and texts stand in double quotes; quotes and line breaks inside texts are escaped.".to_owned()];
    if callable.is_empty() {
        return rules;
    }
    rules.push("Use only the tools listed, by their exact names, with arguments that match their schema.".to_owned());
    match tools.choice() {
        ToolChoice::Auto => rules.push("Call tools only if they are needed; never call and answer at once.".to_owned()),
        ToolChoice::Required => rules.push("You must call at least one tool.".to_owned()),
        ToolChoice::Named(name) => rules.push(format!("You must call `{name}`.")),
        ToolChoice::None => {}
    }
    if tools.max_calls() == 1 {
        rules.push("Write exactly one call.".to_owned());
    } else {
        rules.push(format!("Independent calls go into one list, at most {}.", tools.max_calls()));
    }
    rules
}

fn described(tool: &Tool) -> Value {
    match tool.description() {
        Some(description) => {
            json!({"name": tool.name(), "description": description, "arguments": tool.parameters()})
        }
        None => json!({"name": tool.name(), "arguments": tool.parameters()}),
    }
}

/// Stop sequences for a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopSequences {
    /// Strings. Each holds a raw line break, which no string of valid JSON does.
    pub strings: Vec<String>,
    /// Special tokens, for the caller to turn into ids; they cannot be part of a text.
    pub tokens: Vec<&'static str>,
}

impl StopSequences {
    /// The stop sequences that a runtime takes for a family of models.
    #[must_use]
    pub fn new(family: ModelFamily, capabilities: &RuntimeCapabilities) -> Self {
        let (limit, takes_tokens) = match capabilities.stop {
            StopForm::Strings { limit } => (limit, false),
            StopForm::StringsAndTokens { limit } => (limit, true),
            StopForm::Unsupported => (0, false),
        };
        Self {
            strings: ["\n```", "\n</tool_call>"].into_iter().take(limit).map(str::to_owned).collect(),
            tokens: if takes_tokens { family.end_tokens().to_vec() } else { Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests;

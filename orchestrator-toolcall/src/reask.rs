//! What to do when an answer is refused: ask again, more narrowly, and not for ever.
//!
//! Owns the policy as a pure state machine; whoever drives the model performs the steps.
//!
//! ```text
//! refused ──▶ Ask (all tools) ──▶ refused ──▶ Ask (one tool, greedy, hard constraint) ──▶ refused ──▶ GiveUp
//!    └────────── the same output as before ─────────────────────────────────────────────────────────▶ GiveUp
//! ```

use std::fmt::Write as _;

use crate::tool_set::{Tool, ToolChoice, ToolSet};
use crate::verdict::{Problem, Verdict};

/// The most times that a model is asked again.
pub const MAX_REASKS: usize = 2;

/// The most findings that are told to the model.
const MAX_FINDINGS: usize = 5;

/// How much of the bad output is quoted, in bytes.
const MAX_QUOTE: usize = 2_000;

/// How much of a tool's schema is repeated, in bytes.
const MAX_SCHEMA: usize = 8_000;

/// What to do next.
#[derive(Debug, Clone)]
pub enum ReaskStep {
    /// The answer stands.
    Accept,
    /// Ask again.
    Ask(Box<Correction>),
    /// Answer the client with an error.
    GiveUp(GiveUp),
}

/// Another question to the model.
#[derive(Debug, Clone)]
pub struct Correction {
    /// A user message. The bad output stands in it as quoted text: never put it into the history as a call.
    pub message: String,
    /// The tools for this try: all of them, or on the last try the one that was meant.
    pub tools: ToolSet,
    /// Whether to generate at temperature 0 and under the strongest constraint the engine takes.
    pub is_last: bool,
}

/// Why nothing more is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUp {
    /// The model was asked as often as it is worth.
    Exhausted {
        /// The findings about the last answer.
        problems: Vec<Problem>,
    },
    /// The model wrote the same again.
    Repeated {
        /// The findings about that answer.
        problems: Vec<Problem>,
    },
}

impl GiveUp {
    /// The stable code of this end.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exhausted { .. } => "toolcall.reask_exhausted",
            Self::Repeated { .. } => "toolcall.reask_repeated",
        }
    }

    /// The findings about the last answer.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Exhausted { problems } | Self::Repeated { problems } => problems,
        }
    }
}

/// The state of one conversation turn that may have to be asked again.
///
/// # Examples
/// ```
/// use orchestrator_toolcall::{Finish, Reask, ReaskStep, ToolSet};
///
/// let tools = ToolSet::from_json(&serde_json::json!([{"name": "look", "input_schema": {"type": "object"}}]))?;
/// let mut reask = Reask::new(tools.clone());
/// let bad = r#"{"v":1,"type":"tool_calls","calls":[{"name":"lok","arguments":{}}]}"#;
/// let ReaskStep::Ask(correction) = reask.next(&tools.parse(bad, Finish::Stop), bad) else { panic!() };
/// assert!(correction.message.contains("`enum` at /calls/0/name: expected look"));
/// // The same again: there is no point in going on.
/// assert!(matches!(reask.next(&tools.parse(bad, Finish::Stop), bad), ReaskStep::GiveUp(_)));
/// # Ok::<(), orchestrator_toolcall::ToolError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reask {
    tools: ToolSet,
    asked: usize,
    previous: Vec<String>,
}

impl Reask {
    /// Starts with the tools of the client's request.
    #[must_use]
    pub const fn new(tools: ToolSet) -> Self {
        Self { tools, asked: 0, previous: Vec::new() }
    }

    /// How often the model was asked again so far.
    #[must_use]
    pub const fn asked(&self) -> usize {
        self.asked
    }

    /// Takes the verdict on an answer, and the answer, and says what to do.
    pub fn next(&mut self, verdict: &Verdict, text: &str) -> ReaskStep {
        if verdict.is_accepted() {
            return ReaskStep::Accept;
        }
        let problems = || verdict.errors.iter().take(MAX_FINDINGS).cloned().collect();
        let answer = text.trim();
        if self.previous.iter().any(|previous| previous == answer) {
            return ReaskStep::GiveUp(GiveUp::Repeated { problems: problems() });
        }
        if self.asked >= MAX_REASKS {
            return ReaskStep::GiveUp(GiveUp::Exhausted { problems: problems() });
        }
        self.previous.push(answer.to_owned());
        self.asked += 1;
        let meant = self.meant_tool(text);
        let is_last = self.asked == MAX_REASKS;
        let message = message(verdict, text, meant);
        let tools = match meant.filter(|_| is_last) {
            Some(tool) => {
                let narrowed = self.tools.clone().with_max_calls(1);
                let choice = ToolChoice::Named(tool.name().to_owned());
                narrowed.with_choice(choice).unwrap_or_else(|_| self.tools.clone())
            }
            None => self.tools.clone(),
        };
        ReaskStep::Ask(Box::new(Correction { message, tools, is_last }))
    }

    /// The tool whose exact name comes first in the answer, or the only one there is.
    fn meant_tool(&self, text: &str) -> Option<&Tool> {
        let named = |tool: &&Tool| first_word(text, tool.name());
        let first = self.tools.callable().filter(|tool| named(tool).is_some()).min_by_key(|tool| named(tool));
        let mut all = self.tools.callable();
        first.or_else(|| all.next().filter(|_| all.next().is_none() && !self.tools.may_answer()))
    }
}

/// Where a name stands as a word of its own.
fn first_word(text: &str, name: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.match_indices(name).map(|(at, _)| at).find(|at| !text[..*at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}

fn message(verdict: &Verdict, text: &str, meant: Option<&Tool>) -> String {
    let mut message = String::from("Your last answer could not be used. What is wrong with it:\n");
    for problem in verdict.errors.iter().take(MAX_FINDINGS) {
        let _ = writeln!(message, "- {problem}");
    }
    if let Some(tool) = meant {
        let schema = tool.parameters().to_string();
        if schema.len() <= MAX_SCHEMA {
            let _ = writeln!(message, "\nThe JSON Schema of the arguments of `{}`:\n{schema}", tool.name());
        }
    }
    message.push_str("\nYour last answer was:\n");
    let mut end = text.len().min(MAX_QUOTE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for line in text[..end].lines() {
        let _ = writeln!(message, "> {line}");
    }
    if end < text.len() {
        message.push_str("> …\n");
    }
    message.push_str("\nAnswer again, with one JSON object in the format you were given and nothing else.\n");
    message
}

#[cfg(test)]
mod tests;

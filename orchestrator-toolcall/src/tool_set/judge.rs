//! From a text to a verdict: extract, read, validate, and say what came of it.

use serde_json::{Map, Value};

use super::coerce::{arguments_from_text, coerce};
use super::structure::{self, Candidate};
use super::{Tool, ToolChoice, ToolSet};
use crate::envelope::{Call, Envelope};
use crate::error::ParseError;
use crate::extract::{Extraction, extract};
use crate::repair::{Edit, EditKind, checked_text, read_tolerant};
use crate::verdict::{Fidelity, Finish, Problem, Verdict};

/// The most findings of one verdict.
const MAX_PROBLEMS: usize = 20;

/// Judges a text that should hold an envelope.
pub(super) fn text(set: &ToolSet, bytes: &[u8], finish: Finish) -> Verdict {
    let text = match checked_text(bytes, set.limits()) {
        Ok(text) => text,
        Err(error) => return Verdict::ambiguous(&error, String::new()),
    };
    let Extraction { reading, start, is_surrounded } = match extract(text, set.limits(), finish) {
        Ok(extraction) => extraction,
        Err(refusal) => return Verdict::ambiguous(&refusal.error, refusal.pointer),
    };
    let fidelity = match (reading.edits.is_empty(), is_surrounded) {
        (false, _) => Fidelity::Repaired,
        (true, true) => Fidelity::Extracted,
        (true, false) => Fidelity::Exact,
    };
    if structure::is_doubtful(set, &Candidate { text, start, reading: &reading, finish, call: None }) {
        return unclear(&reading.edits);
    }
    let span = (start, reading.end);
    let mut verdict = value(set, reading.value, fidelity, reading.edits, span);
    verdict.span = Some(span);
    verdict
}

/// Judges one native call.
pub(super) fn call(set: &ToolSet, name: &str, bytes: &[u8], finish: Finish) -> Verdict {
    let text = match checked_text(bytes, set.limits()) {
        Ok(text) => text,
        Err(error) => return Verdict::ambiguous(&error, "/calls/0/arguments".to_owned()),
    };
    let trimmed = text.trim_start_matches([' ', '\n', '\r', '\t']);
    let start = text.len() - trimmed.len();
    if trimmed.is_empty() && finish == Finish::Stop {
        // Engines write nothing at all for a call without arguments.
        return envelope(set, one_call(name, Map::new()));
    }
    let reading = match read_tolerant(text, start, set.limits(), finish) {
        Ok(reading) => reading,
        Err(failure) => {
            let pointer = format!("/calls/0/arguments{}", failure.pointer);
            return Verdict::ambiguous(&failure.error, pointer);
        }
    };
    let rest = text[reading.end..].trim_start_matches([' ', '\n', '\r', '\t']);
    if !rest.is_empty() {
        let error = ParseError::Unexpected { offset: text.len() - rest.len(), expected: "the end of the arguments" };
        return Verdict::ambiguous(&error, "/calls/0/arguments".to_owned());
    }
    if structure::is_doubtful(set, &Candidate { text, start, reading: &reading, finish, call: Some(name) }) {
        return unclear(&reading.edits);
    }
    let fidelity = if reading.edits.is_empty() { Fidelity::Exact } else { Fidelity::Repaired };
    let mut call = Map::new();
    call.insert("name".to_owned(), Value::String(name.to_owned()));
    call.insert("arguments".to_owned(), reading.value);
    let mut wrapped = Map::new();
    wrapped.insert("v".to_owned(), crate::envelope::ENVELOPE_VERSION.into());
    wrapped.insert("type".to_owned(), "tool_calls".into());
    wrapped.insert("calls".to_owned(), Value::Array(vec![Value::Object(call)]));
    let span = (start, reading.end);
    let mut verdict = value(set, Value::Object(wrapped), fidelity, reading.edits, span);
    verdict.span = Some(span);
    verdict
}

/// Judges an envelope that is data already.
pub(super) fn envelope(set: &ToolSet, envelope: Envelope) -> Verdict {
    finish_verdict(set, envelope, Fidelity::Exact, Vec::new(), (0, 0))
}

/// The envelope with one call.
pub(super) fn one_call(name: &str, arguments: Map<String, Value>) -> Envelope {
    Envelope::ToolCalls { calls: vec![Call { name: name.to_owned(), arguments }] }
}

fn unclear(edits: &[Edit]) -> Verdict {
    let offset = edits.iter().find(|edit| edit.kind.is_structural()).map_or(0, |edit| edit.start);
    Verdict::ambiguous(&ParseError::UnclearStructure { offset }, String::new())
}

fn value(set: &ToolSet, mut value: Value, mut fidelity: Fidelity, mut edits: Vec<Edit>, span: (usize, usize)) -> Verdict {
    if read_text_arguments(set, &mut value) {
        fidelity = Fidelity::Coerced;
        edits.push(Edit { kind: EditKind::Coerced, start: span.0, end: span.1 });
    }
    match Envelope::from_value(value) {
        Ok(envelope) => finish_verdict(set, envelope, fidelity, edits, span),
        Err(mut problems) => {
            problems.truncate(MAX_PROBLEMS);
            Verdict::refused(fidelity, edits, problems)
        }
    }
}

/// Replaces arguments that are a string by the object it holds, where the tool's policy allows that.
fn read_text_arguments(set: &ToolSet, value: &mut Value) -> bool {
    let Some(calls) = value.get_mut("calls").and_then(Value::as_array_mut) else {
        return false;
    };
    let mut changed = false;
    for call in calls {
        let policy = call.get("name").and_then(Value::as_str).and_then(|name| set.tool(name)?.coercion());
        let (Some(policy), Some(arguments)) = (policy, call.get("arguments").filter(|value| value.is_string())) else {
            continue;
        };
        if let Some(held) = arguments_from_text(arguments, policy) {
            call["arguments"] = held;
            changed = true;
        }
    }
    changed
}

/// Holds an envelope against the tools and what may be called.
fn finish_verdict(set: &ToolSet, mut envelope: Envelope, mut fidelity: Fidelity, mut edits: Vec<Edit>, span: (usize, usize)) -> Verdict {
    let mut problems = Vec::new();
    match &mut envelope {
        Envelope::Final { .. } if !set.may_answer() => {
            problems.push(Problem::new("/type", "const", "tool_calls"));
        }
        Envelope::Final { .. } => {}
        Envelope::ToolCalls { .. } if *set.choice() == ToolChoice::None => {
            problems.push(Problem::new("/type", "const", "final"));
        }
        Envelope::ToolCalls { calls } => {
            if calls.len() > set.max_calls() {
                problems.push(Problem::new("/calls", "maxItems", format!("at most {} items", set.max_calls())));
            }
            for (index, call) in calls.iter_mut().enumerate() {
                if check_call(set, call, index, &mut problems) {
                    fidelity = Fidelity::Coerced;
                    edits.push(Edit { kind: EditKind::Coerced, start: span.0, end: span.1 });
                }
                if problems.len() >= MAX_PROBLEMS {
                    break;
                }
            }
        }
    }
    if problems.is_empty() {
        Verdict { fidelity, envelope: Some(envelope), edits, errors: problems, span: None }
    } else {
        Verdict::refused(fidelity, edits, problems)
    }
}

/// Validates the arguments of one call; says whether types were changed to make them valid.
fn check_call(set: &ToolSet, call: &mut Call, index: usize, problems: &mut Vec<Problem>) -> bool {
    let Some(tool) = set.tool(&call.name).filter(|tool| set.may_call(tool.name())) else {
        let names: Vec<_> = set.callable().map(Tool::name).collect();
        problems.push(Problem::new(format!("/calls/{index}/name"), "enum", names.join(" | ")));
        return false;
    };
    let mut arguments = Value::Object(std::mem::take(&mut call.arguments));
    let mut coerced = false;
    if !tool.validator().is_valid(&arguments) {
        let original = tool.validator().problems(&arguments, MAX_PROBLEMS);
        coerced =
            tool.coercion().is_some_and(|policy| coerce(&mut arguments, tool.validator(), policy) && tool.validator().is_valid(&arguments));
        if !coerced {
            let prefix = format!("/calls/{index}/arguments");
            problems.extend(original.into_iter().map(|problem| problem.below(&prefix)));
        }
    }
    if let Value::Object(arguments) = arguments {
        call.arguments = arguments;
    }
    coerced
}

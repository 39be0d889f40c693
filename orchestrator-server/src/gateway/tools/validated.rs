//! Native calls of an engine, held against the tools. Pure.

use bytes::Bytes;
use orchestrator_toolcall::{Envelope, Fidelity, Finish, Problem, ToolChoice, ToolSet, Verdict};
use serde_json::{Value, json};

use super::generation::NativeCall;
use super::history;
use super::request::ToolRequest;

/// Writes the body that the engine gets: the client's own, with a history that no malformed call is part of.
pub(super) fn body(request: &ToolRequest) -> Bytes {
    let mut fields = request.fields.clone();
    fields.extend(request.native.clone());
    fields.insert("messages".to_owned(), history::without_malformed(&request.messages).into());
    if !request.stops.is_empty() {
        fields.insert("stop".to_owned(), request.stops.clone().into());
    }
    fields.insert("stream".to_owned(), true.into());
    fields.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    Value::Object(fields).to_string().into()
}

/// Judges what an engine answered by itself. An answer in words is one where the choice allows it.
pub(super) fn judge(tools: &ToolSet, content: &str, calls: &[NativeCall], finish: Finish) -> Verdict {
    if calls.is_empty() {
        return tools.check(Envelope::Final { content: content.to_owned() });
    }
    let mut whole = Verdict { fidelity: Fidelity::Exact, envelope: None, edits: Vec::new(), errors: Vec::new(), span: None };
    let mut accepted = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let verdict = tools.parse_call(&call.name, &call.arguments, finish);
        whole.fidelity = worse(whole.fidelity, verdict.fidelity);
        whole.edits.extend(&verdict.edits);
        whole.errors.extend(verdict.errors.into_iter().map(|problem| at_call(problem, index)));
        if let Some(Envelope::ToolCalls { calls }) = verdict.envelope {
            accepted.extend(calls);
        }
    }
    if !whole.errors.is_empty() || accepted.len() != calls.len() {
        return whole;
    }
    let together = tools.check(Envelope::ToolCalls { calls: accepted });
    Verdict { fidelity: worse(whole.fidelity, together.fidelity), edits: whole.edits, ..together }
}

/// Whether an answer in words may leave as it comes.
pub(super) const fn may_speak(tools: &ToolSet) -> bool {
    matches!(tools.choice(), ToolChoice::Auto | ToolChoice::None)
}

/// What an engine answered, as text: for the finding of a repetition, and to be quoted to the model.
pub(super) fn quoted(content: &str, calls: &[NativeCall]) -> String {
    let calls = calls.iter().map(|call| format!("{} {}", call.name, call.arguments));
    let parts: Vec<String> = std::iter::once(content.to_owned()).filter(|content| !content.is_empty()).chain(calls).collect();
    parts.join("\n")
}

fn worse(one: Fidelity, other: Fidelity) -> Fidelity {
    let rank = |fidelity| match fidelity {
        Fidelity::Exact => 0,
        Fidelity::Extracted => 1,
        Fidelity::Repaired => 2,
        Fidelity::Coerced => 3,
        Fidelity::Ambiguous => 4,
    };
    if rank(one) >= rank(other) { one } else { other }
}

/// Says of which call a finding is: each was judged as the first.
fn at_call(mut problem: Problem, index: usize) -> Problem {
    if let Some(rest) = problem.pointer.strip_prefix("/calls/0") {
        problem.pointer = format!("/calls/{index}{rest}");
    }
    problem
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn tools() -> ToolSet {
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        ToolSet::from_openai(&json!([{ "type": "function", "function": { "name": "look", "parameters": schema } }])).unwrap()
    }

    fn call(arguments: &str) -> NativeCall {
        NativeCall { id: None, name: "look".to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn calls_are_judged_together_and_each_finding_names_its_call() {
        let good = judge(&tools(), "", &[call(r#"{"n":1}"#), call("{n: 2,}")], Finish::Stop);
        assert_eq!((good.fidelity, good.calls().len()), (Fidelity::Repaired, 2));
        let bad = judge(&tools(), "", &[call(r#"{"n":1}"#), call(r#"{"n":"x"}"#)], Finish::Stop);
        assert!(bad.envelope.is_none());
        assert_eq!((bad.errors[0].pointer.as_str(), bad.errors[0].keyword.as_str()), ("/calls/1/arguments/n", "type"));
    }

    #[test]
    fn a_call_that_is_cut_off_is_none() {
        let cut = judge(&tools(), "", &[call(r#"{"n":1"#)], Finish::Length);
        assert!(cut.envelope.is_none() && cut.fidelity == Fidelity::Ambiguous);
    }

    #[test]
    fn what_the_engine_does_not_heed_is_refused() {
        let one = tools().with_max_calls(1);
        assert!(judge(&one, "", &[call(r#"{"n":1}"#), call(r#"{"n":2}"#)], Finish::Stop).envelope.is_none());
        let required = tools().with_choice(ToolChoice::Required).unwrap();
        assert!(judge(&required, "words", &[], Finish::Stop).envelope.is_none());
        assert_eq!(judge(&tools(), "words", &[], Finish::Stop).content(), Some("words"));
    }
}

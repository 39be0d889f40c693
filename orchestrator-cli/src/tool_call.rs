//! One strict tool call through the gateway, held against the schema of its tool: what quickstart and smoke show.

use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_server::Client;
use orchestrator_toolcall::{Finish, ToolSet};
use serde_json::{Value, json};

use crate::error::CommandError;

/// How long the call may be, in tokens.
const TOKENS: u32 = 512;

/// Asks something that needs a tool, proves that the call matches the tool's schema, and returns it as
/// `{"name", "arguments"}`.
pub(crate) async fn ask(client: &Client, name: &InstanceName) -> Result<Value, CommandError> {
    let body = json!({
        "model": name,
        "messages": [{ "role": "user", "content": "How will the weather be in Lisbon?" }],
        "tools": tools(),
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "max_tokens": TOKENS,
    });
    // Said here too: the configuration may be older than this mode, or changed since.
    let answer = client.openai_post_with("/v1/chat/completions", &[("x-orchestrator-tools", "strict")], body.to_string()).await?;
    let status = answer.status();
    let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    if !status.is_success() {
        let cause = body["error"]["message"].as_str().unwrap_or("no reason was given");
        return Err(refused(cause).into());
    }
    Ok(check(&body["choices"][0]["message"]["tool_calls"])?)
}

fn tools() -> Value {
    let properties = json!({
        "city": { "type": "string", "enum": ["Lisbon", "Porto", "Faro"] },
        "days": { "type": "integer", "minimum": 1, "maximum": 7 },
    });
    let parameters = json!({ "type": "object", "properties": properties, "required": ["city", "days"], "additionalProperties": false });
    let function = json!({ "name": "weather", "description": "Says how the weather will be.", "parameters": parameters });
    json!([{ "type": "function", "function": function }])
}

/// Returns the one call of an answer as `{"name", "arguments"}`.
fn check(calls: &Value) -> Result<Value, Problem> {
    let [call] = calls.as_array().map(Vec::as_slice).unwrap_or_default() else {
        return Err(refused("it holds no call, or several"));
    };
    let function = &call["function"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let set = ToolSet::from_openai(&tools()).map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
    let verdict = set.parse_call(&text(&function["name"]), text(&function["arguments"]), Finish::Stop);
    match (verdict.calls(), verdict.errors.first()) {
        ([call], None) => Ok(json!({ "name": call.name, "arguments": call.arguments })),
        (_, Some(problem)) => Err(refused(&problem.to_string())),
        _ => Err(refused("it holds no call")),
    }
}

fn refused(cause: &str) -> Problem {
    let problem = Problem::new(ErrorCode::AnswerInvalid, "the answer is no valid tool call").with_cause(cause);
    problem.with_hint("`orch tools smoke NAME` tries more of them")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn call(arguments: &str) -> Value {
        json!([{ "id": "1", "type": "function", "function": { "name": "weather", "arguments": arguments } }])
    }

    #[test]
    fn only_a_call_that_matches_passes() {
        let good = check(&call(r#"{"city":"Faro","days":2}"#)).unwrap();
        assert_eq!(good, json!({ "name": "weather", "arguments": { "city": "Faro", "days": 2 } }));
        for bad in [call(r#"{"city":"Rome","days":2}"#), call("{"), call(r#"{"city":"Faro"}"#), json!([]), Value::Null] {
            assert_eq!(check(&bad).unwrap_err().code, ErrorCode::AnswerInvalid, "{bad}");
        }
    }
}

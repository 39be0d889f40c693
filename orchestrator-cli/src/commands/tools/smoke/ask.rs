//! One question to a model that has to be answered with calls, whole or as a stream, and what comes of it.

use futures_util::StreamExt as _;
use orchestrator_core::InstanceName;
use orchestrator_server::{Client, ClientError, GatewayAnswer};
use orchestrator_toolcall::{Finish, ToolSet};
use serde_json::{Value, json};

use super::sets::SmokeSet;
use crate::error::CommandError;

/// How long an answer may be, in tokens.
const TOKENS: u32 = 1024;
/// The header that asks for a mode, and that tells of the outcome.
const HEADER: &str = "x-orchestrator-tools";

/// What came of one question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There were calls, and all match.
    Valid {
        /// How often the model was asked again.
        reasks: u32,
    },
    /// There was something else.
    Invalid {
        /// What was wrong.
        reason: String,
    },
}

/// Asks once. Fails only when the daemon cannot be asked at all.
pub(super) async fn ask(
    client: &Client,
    instance: &InstanceName,
    set: &SmokeSet,
    seed: u32,
    streams: bool,
) -> Result<Verdict, CommandError> {
    let body = json!({
        "model": instance,
        "messages": [{ "role": "user", "content": set.question }],
        "tools": set.tools,
        "tool_choice": "required",
        "max_tokens": TOKENS,
        "seed": seed,
        "stream": streams,
    });
    let answer = client.openai_post_with("/v1/chat/completions", &[(HEADER, "strict")], body.to_string()).await?;
    let status = answer.status();
    let report = answer.headers().get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if !status.is_success() {
        let body = answer.bytes().await?;
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = error["error"]["message"].as_str().unwrap_or("no reason was given");
        if status.is_client_error() && status != 400 {
            return Err(CommandError::from(answer_problem(status.as_u16(), &error, message)));
        }
        return Ok(Verdict::Invalid { reason: format!("{}: {message}", status.as_u16()) });
    }
    if !streams {
        return Ok(judge(set, &whole_calls(answer).await?, &report));
    }
    Ok(match streamed_calls(answer).await? {
        Ok(calls) => judge(set, &calls, &report),
        Err(reason) => Verdict::Invalid { reason },
    })
}

/// What the gateway refuses before it asks the model.
fn answer_problem(status: u16, error: &Value, message: &str) -> orchestrator_core::Problem {
    let code = serde_json::from_value(error["error"]["code"].clone()).unwrap_or(orchestrator_core::ErrorCode::RequestInvalid);
    let mut problem = orchestrator_core::Problem::new(code, message);
    problem.status = status;
    problem
}

/// Holds calls against their schemas, independently of what the gateway says of them.
fn judge(set: &SmokeSet, calls: &[(String, String)], report: &str) -> Verdict {
    let invalid = |reason: String| Verdict::Invalid { reason };
    let tools = match ToolSet::from_openai(&set.tools) {
        Ok(tools) => tools,
        Err(error) => return invalid(error.to_string()),
    };
    if calls.is_empty() {
        return invalid("there is no call".to_owned());
    }
    for (name, arguments) in calls {
        let value: Value = match serde_json::from_str(arguments) {
            Ok(value) => value,
            Err(error) => return invalid(format!("the arguments of `{name}` are no JSON: {error}")),
        };
        let Some(tool) = tools.tool(name) else { return invalid(format!("there is no tool `{name}`")) };
        if let Some(problem) = tool.validator().problems(&value, 1).first() {
            return invalid(problem.to_string());
        }
        if !tools.parse_call(name, arguments, Finish::Stop).is_accepted() {
            return invalid(format!("the call of `{name}` does not parse"));
        }
    }
    let reasks = report.split("reasks=").nth(1).and_then(|rest| rest.split(';').next()).and_then(|count| count.parse().ok());
    Verdict::Valid { reasks: reasks.unwrap_or(0) }
}

async fn whole_calls(answer: GatewayAnswer) -> Result<Vec<(String, String)>, ClientError> {
    let body: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    let calls = body["choices"][0]["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(calls.iter().map(|call| (text(&call["function"]["name"]), text(&call["function"]["arguments"]))).collect())
}

/// Puts the calls of a stream together, or says which error the stream ended with.
async fn streamed_calls(answer: GatewayAnswer) -> Result<Result<Vec<(String, String)>, String>, ClientError> {
    let mut body = Vec::new();
    let mut pieces = Box::pin(answer.into_stream());
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece?);
    }
    let mut calls: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(&body).lines() {
        let Some(chunk) = line.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok()) else { continue };
        if let Some(message) = chunk["error"]["message"].as_str() {
            return Ok(Err(message.to_owned()));
        }
        for piece in chunk["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = piece["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(calls.len());
            if index >= calls.len() {
                calls.push(Default::default());
            }
            if let Some((name, arguments)) = calls.get_mut(index) {
                name.push_str(piece["function"]["name"].as_str().unwrap_or_default());
                arguments.push_str(piece["function"]["arguments"].as_str().unwrap_or_default());
            }
        }
    }
    Ok(Ok(calls))
}

#[cfg(test)]
mod tests {
    use super::super::sets;
    use super::*;

    #[test]
    fn a_call_is_held_against_its_schema_whatever_the_gateway_says() {
        let set = &sets::all()[0];
        let call = |name: &str, arguments: &str| [(name.to_owned(), arguments.to_owned())];
        let report = "exact; reasks=1; constraint=tools";
        assert_eq!(judge(set, &call("weather", r#"{"city":"Faro"}"#), report), Verdict::Valid { reasks: 1 });
        for bad in [call("weather", "{}"), call("weather", "{"), call("other", "{}"), call("weather", r#"{"city":"x","days":9}"#)] {
            assert!(matches!(judge(set, &bad, report), Verdict::Invalid { .. }), "{bad:?}");
        }
        assert!(matches!(judge(set, &[], report), Verdict::Invalid { .. }));
    }
}

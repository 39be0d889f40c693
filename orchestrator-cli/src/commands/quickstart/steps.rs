//! The steps of quickstart, in their order. Each shows itself and its time.

use std::time::Instant;

use orchestrator_core::instance::InstanceState;
use orchestrator_core::instance::spec::ToolsMode;
use orchestrator_core::model::ModelReference;
use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_core::{EnvKey, ErrorCode, InstanceName, Paths, Problem};
use orchestrator_server::Client;
use orchestrator_toolcall::schema::Validator;
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::quoted;
use crate::chat::{self, Conversation, Piece};
use crate::commands::up;
use crate::context::Context;
use crate::error::CommandError;
use crate::fetch::{self, Consent};
use crate::follow;
use crate::instance_for_model::{self, Wishes};
use crate::model_argument;
use crate::output::format;
use crate::progress::Steps;

/// The environment that is provisioned.
const ENVIRONMENT: &str = "llama-cpp-cpu";
/// The instance that is made.
const INSTANCE: &str = "quickstart";
/// What is asked.
const PROMPT: &str = "Say hello in one sentence.";
/// How long the answer may be, in tokens.
const REPLY_TOKENS: u32 = 64;
/// How long the constrained answer may be: the schema bounds it far below.
const STRUCTURED_TOKENS: u32 = 512;

pub(super) async fn daemon(context: &Context, steps: &Steps, ledger: &Ledger) -> Result<(Client, String), CommandError> {
    let step = steps.begin("starting the daemon");
    let started = context.started_client().await?;
    if started.by_us {
        ledger.started_daemon(&started.client);
    }
    let endpoint = started.client.status().await?.endpoint;
    step.succeed(&format!("daemon at {endpoint}"));
    Ok((started.client, endpoint))
}

/// Sees to it that the environment is there and returns the version of its engine.
pub(super) async fn environment(context: &Context, client: &Client, steps: &Steps, ledger: &Ledger) -> Result<String, CommandError> {
    let key = EnvKey::try_new(ENVIRONMENT).map_err(Problem::from)?;
    let mut step = steps.begin(format!("environment {key}"));
    if let Some(version) = installed_version(client, &key).await? {
        step.succeed(&format!("environment {key} is there, with {version}"));
        return Ok(version);
    }
    let begun = client.create_environment(&key).await?;
    ledger.began_operation(client, &begun);
    let built = follow::to_the_end(context, client, begun, &mut step).await;
    ledger.ended_operation();
    built?;
    let version = installed_version(client, &key).await?;
    let version =
        version.ok_or_else(|| Problem::new(ErrorCode::EnvNotInstalled, format!("the environment `{key}` was built and is not there")))?;
    step.succeed(&format!("environment {key} is built, with {version}"));
    Ok(version)
}

async fn installed_version(client: &Client, key: &EnvKey) -> Result<Option<String>, CommandError> {
    let environments = client.environments().await?;
    let status = environments.into_iter().find(|status| status.key == *key);
    Ok(status.filter(|status| !status.outdated).and_then(|status| status.installed).map(|environment| environment.engine_version))
}

/// Looks at the model that was asked for, and fetches it where it is missing.
pub(super) async fn real_model(
    context: &Context,
    client: &Client,
    steps: &Steps,
    model: ModelReference,
    ledger: &Ledger,
) -> Result<ModelReference, CommandError> {
    let found = if let Some(found) = fetch::look(client, &model).await? {
        found
    } else {
        let begun = fetch::begin(context, client, &model, Consent::Asked).await?;
        ledger.began_operation(client, &begun);
        let mut step = steps.begin(format!("pulling {model}"));
        let pulled = follow::to_the_end(context, client, begun, &mut step).await;
        ledger.ended_operation();
        pulled?;
        client.model_info(&model).await?
    };
    let step = steps.begin(format!("model {model}"));
    step.succeed(&format!("model {} of {} is there", model.short_name(), format::bytes(found.size_bytes)));
    Ok(model)
}

/// Writes the demo model unless a good one is there.
pub(super) async fn demo_model(client: &Client, paths: &Paths, steps: &Steps) -> Result<ModelReference, CommandError> {
    let step = steps.begin("demo model");
    let path = paths.models_dir().join("demo.gguf");
    let model = ModelReference::try_file(path.clone())?;
    if path.exists() && client.model_info(&model).await.is_ok() {
        step.succeed("demo model is there (random weights: its text is noise, its structure is not)");
    } else {
        let written = std::fs::create_dir_all(paths.models_dir()).and_then(|()| write_demo_model(&path, &DemoModel::default()));
        let file = written.map_err(|error| {
            let code = if error.kind() == std::io::ErrorKind::StorageFull { ErrorCode::DiskFull } else { ErrorCode::HomeUnusable };
            let problem = Problem::new(code, format!("could not write the demo model `{}`", path.display())).with_cause(error.to_string());
            problem.with_hint("check the permissions and the free space of the home directory")
        })?;
        let size = format::bytes(file.bytes);
        step.succeed(&format!("demo model of {size} is written (random weights: its text is noise, its structure is not)"));
    }
    Ok(model)
}

pub(super) fn instance(paths: &Paths, steps: &Steps, model: &ModelReference) -> Result<InstanceName, CommandError> {
    let step = steps.begin("instance");
    let mut names = vec![InstanceName::try_new(INSTANCE).map_err(Problem::from)?];
    let of_model = model_argument::instance_name(model).and_then(|name| InstanceName::try_new(format!("{INSTANCE}-{name}")).ok());
    names.extend(of_model);
    // The engine it reports is the one it brought in, whatever else is on the search path.
    let key = EnvKey::try_new(ENVIRONMENT).map_err(Problem::from)?;
    let wishes = Wishes { env_key: Some(&key), tools: ToolsMode::Strict };
    let chosen = instance_for_model::choose(&paths.instances_dir(), &names, model, wishes)?;
    let how = if chosen.is_new { "is configured" } else { "is there" };
    step.succeed(&format!("instance {} {how}", chosen.name));
    Ok(chosen.name)
}

/// Starts the instance and returns after how many milliseconds it was ready.
pub(super) async fn start(client: &Client, steps: &Steps, name: &InstanceName, ledger: &Ledger) -> Result<u64, CommandError> {
    let mut step = steps.begin(format!("starting {name}"));
    if matches!(client.describe(name).await?.state, InstanceState::Stopped { .. } | InstanceState::Failed { .. }) {
        ledger.starts_instance(client, name);
    }
    let began = Instant::now();
    match up::watched(client, name, &mut step, Box::pin(client.up_and_wait(name))).await {
        Ok(summary) => {
            let port = summary.port.map(|port| format!(" on port {port}")).unwrap_or_default();
            step.succeed(&format!("{name} is ready{port}"));
            Ok(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
        }
        Err(error) => {
            step.fail(&format!("{name} did not come up"));
            Err(error.into())
        }
    }
}

/// Asks something through the gateway and shows the answer as it comes.
pub(super) async fn chat(context: &Context, client: &Client, name: &InstanceName, is_demo: bool) -> Result<String, CommandError> {
    let output = context.output;
    let began = Instant::now();
    let mut conversation = Conversation::new(name, None, Some(REPLY_TOKENS));
    conversation.ask(PROMPT);
    output.note(&format!("  asking \"{PROMPT}\" …"));
    let shows = !output.is_json() && !output.is_quiet();
    if shows {
        output.text(&quoted(""))?;
    }
    let mut began_to_speak = false;
    let answer = conversation
        .stream(client, |piece| match piece {
            Piece::Content(text) if shows => {
                let text = if began_to_speak { text } else { text.trim_start() };
                began_to_speak |= !text.is_empty();
                output.text(&chat::printable(text).replace('\n', &format!("\n{}", quoted(""))))
            }
            Piece::Content(_) | Piece::Reasoning(_) => Ok(()),
        })
        .await?;
    if shows {
        output.line("")?;
    }
    let remark = if is_demo { ", which is noise" } else { "" };
    Steps::tick(output, &format!("streamed an answer of {} characters{remark}", answer.text.chars().count()), began.elapsed());
    Ok(answer.text)
}

/// Asks for an answer that matches a schema, and proves that it does.
pub(super) async fn structured(context: &Context, client: &Client, steps: &Steps, name: &InstanceName) -> Result<Value, CommandError> {
    let step = steps.begin("asking for JSON that matches a schema");
    let schema = answer_schema();
    let mut conversation = Conversation::new(name, None, Some(STRUCTURED_TOKENS));
    conversation.ask("Will it rain in Lisbon tomorrow? Answer with a forecast.");
    let answer = conversation.constrained(client, "forecast", &schema).await?;
    let value = check_answer(&answer.text, &schema)?;
    step.succeed("got JSON that matches its schema");
    if !context.output.is_json() && !context.output.is_quiet() {
        context.output.line(&quoted(&format::printable(&value.to_string())))?;
    }
    Ok(value)
}

/// Asks for a strict tool call, and proves that it matches.
pub(super) async fn tool_call(context: &Context, client: &Client, steps: &Steps, name: &InstanceName) -> Result<Value, CommandError> {
    let step = steps.begin("asking for a tool call");
    let call = crate::tool_call::ask(client, name).await?;
    step.succeed("got a tool call that matches its schema");
    if !context.output.is_json() && !context.output.is_quiet() {
        context.output.line(&quoted(&format::printable(&call.to_string())))?;
    }
    Ok(call)
}

/// The schema of the constrained answer: bounded on every side, so that any model comes to an end.
fn answer_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": { "type": "string", "enum": ["Lisbon", "Porto", "Faro"] },
            "rain": { "type": "boolean" },
            "chance_percent": { "type": "integer", "minimum": 0, "maximum": 100 },
        },
        "required": ["city", "rain", "chance_percent"],
        "additionalProperties": false,
    })
}

fn check_answer(text: &str, schema: &Value) -> Result<Value, CommandError> {
    let invalid = |cause: String| {
        let problem = Problem::new(ErrorCode::AnswerInvalid, "the answer does not match the schema that was asked for");
        problem.with_cause(cause).with_hint("the engine did not heed `response_format`; `orch env test llama-cpp-cpu` tests it")
    };
    let value: Value = serde_json::from_str(text).map_err(|error| invalid(format!("it is no JSON: {error}")))?;
    let validator = Validator::new(schema).map_err(|error| Problem::new(ErrorCode::Internal, error.to_string()))?;
    match validator.problems(&value, 1).first() {
        None => Ok(value),
        Some(problem) => Err(invalid(problem.to_string()).into()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::exit_code;

    #[test]
    fn only_an_answer_that_matches_passes() {
        let schema = answer_schema();
        assert!(check_answer(r#"{"city":"Porto","rain":true,"chance_percent":7}"#, &schema).is_ok());
        for text in ["", "{", r#"{"city":"Rome","rain":true,"chance_percent":7}"#, r#"{"city":"Porto","rain":true,"chance_percent":101}"#] {
            let error = check_answer(text, &schema).map(|_| ()).unwrap_err();
            assert_eq!(exit_code::status_of(&Err(error)), ErrorCode::AnswerInvalid.exit_code(), "{text}");
        }
    }
}

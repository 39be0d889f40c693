//! `orch run`: a chat in the terminal.

use std::io::{IsTerminal as _, Read as _};

use orchestrator_core::model::ModelReference;
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_server::Client;
use owo_colors::OwoColorize as _;

use super::up;
use crate::args::instance::RunArguments;
use crate::chat::{self, Answer, Conversation, Piece};
use crate::context::Context;
use crate::error::CommandError;
use crate::fetch::{self, Consent};
use crate::instance_for_model::{self, Wishes};
use crate::interrupt::{signalled, unless_interrupted};
use crate::model_argument;
use crate::output::Output;
use crate::progress::Steps;

/// The largest prompt that is read from standard input, in bytes.
const LARGEST_PROMPT: u64 = 16 * 1024 * 1024;

/// Chats with a model.
pub(crate) async fn run(context: &Context, arguments: &RunArguments) -> Result<(), CommandError> {
    let name = match understand(context, &arguments.target)? {
        Target::Instance(name) => name,
        Target::Model(model) => Box::pin(instance_of_model(context, &model)).await?,
    };
    let prompt = match &arguments.prompt {
        Some(prompt) => Some(prompt.clone()),
        None if std::io::stdin().is_terminal() => None,
        None => Some(read_prompt()?),
    };
    let note = format!("`{name}` goes on running; `orch down {name}` ends it");
    let client = unless_interrupted(None, context.client()).await?;
    Box::pin(fetch::ensure_for_instance(context, &client, &name)).await?;
    let client = unless_interrupted(Some(note.clone()), Box::pin(get_ready(context, &name))).await?;
    let mut conversation = Conversation::new(&name, arguments.system.as_deref(), arguments.max_tokens);
    let Some(prompt) = prompt else { return converse(context.output, &client, &mut conversation).await };
    conversation.ask(&prompt);
    let answer = unless_interrupted(Some(note), answer(context.output, &client, &conversation)).await;
    if matches!(answer, Err(CommandError::Interrupted { .. })) && !context.output.is_json() {
        // What came of the answer is a line of its own.
        context.output.line("")?;
    }
    let answer = answer?;
    if context.output.is_json() {
        let value = serde_json::json!({ "instance": name, "reply": answer.text, "finish_reason": answer.finish_reason });
        return context.output.json(&value);
    }
    Ok(())
}

/// What is to be chatted with.
enum Target {
    /// An instance that is named, or that serves the model that is named.
    Instance(InstanceName),
    /// A model that no instance serves yet.
    Model(ModelReference),
}

fn understand(context: &Context, target: &str) -> Result<Target, CommandError> {
    if !model_argument::looks_like_model(target) {
        return Ok(Target::Instance(InstanceName::try_new(target).map_err(Problem::from)?));
    }
    if let Ok(name) = InstanceName::try_new(target) {
        // A file of that name lies here by chance.
        if context.paths().map_or(true, |paths| paths.instance_dir(&name).exists()) {
            return Ok(Target::Instance(name));
        }
    }
    let model = model_argument::parse(target)?;
    let served = instance_for_model::find(&context.paths()?.instances_dir(), &model);
    Ok(served.map_or(Target::Model(model), Target::Instance))
}

/// Makes an instance for a model, which is fetched where it is missing: one that cannot be used gets none.
async fn instance_of_model(context: &Context, model: &ModelReference) -> Result<InstanceName, CommandError> {
    let name = model_argument::instance_name(model).ok_or_else(|| {
        let problem = Problem::new(ErrorCode::Usage, format!("no instance can be named after `{model}`"));
        problem.with_hint("give it a name: `orch init NAME --model REF`")
    })?;
    let client = unless_interrupted(None, context.client()).await?;
    fetch::ensure(context, &client, model, Consent::Asked).await?;
    let chosen = instance_for_model::choose(&context.paths()?.instances_dir(), &[name], model, Wishes::default())?;
    if chosen.is_new {
        context.output.note(&format!("Made the instance `{}` for {model}.", chosen.name));
    }
    Ok(chosen.name)
}

async fn get_ready(context: &Context, name: &InstanceName) -> Result<Client, CommandError> {
    let client = context.client().await?;
    let mut step = Steps::new(context.output).begin(format!("starting {name}"));
    up::watched(&client, name, &mut step, Box::pin(client.up_and_wait(name))).await?;
    Ok(client)
}

/// Sends the conversation and shows the answer as it comes, unless it is wanted whole.
async fn answer(output: Output, client: &Client, conversation: &Conversation) -> Result<Answer, CommandError> {
    let show = |piece: Piece<'_>| match piece {
        _ if output.is_json() => Ok(()),
        Piece::Content(text) => output.text(&chat::printable(text)),
        // Thoughts are no result: they are shown to whoever watches, and not to a file.
        Piece::Reasoning(text) => {
            output.aside_text(&chat::printable(text).dimmed().to_string());
            Ok(())
        }
    };
    let answer = conversation.stream(client, show).await?;
    if !output.is_json() {
        output.line("")?;
    }
    if answer.finish_reason.as_deref() == Some("length") {
        output.note("(the answer was cut off at its token limit)");
    }
    Ok(answer)
}

/// Sends each line that is typed. Ctrl-C stops an answer; at the prompt, and Ctrl-D, end the chat.
async fn converse(output: Output, client: &Client, conversation: &mut Conversation) -> Result<(), CommandError> {
    output.note("Type a line to send it. Ctrl-C stops an answer, Ctrl-D ends the chat.");
    loop {
        let line = tokio::select! {
            line = read_line(output) => line?,
            _ = signalled() => None,
        };
        let Some(line) = line else { return output.line("") };
        if line.trim().is_empty() {
            continue;
        }
        conversation.ask(line.trim_end());
        tokio::select! {
            answer = answer(output, client, conversation) => conversation.remember(&answer?),
            _ = signalled() => {
                conversation.take_back();
                output.note("\n(stopped)");
            }
        }
    }
}

async fn read_line(output: Output) -> Result<Option<String>, CommandError> {
    output.text(&"> ".cyan().bold().to_string())?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|length| (length > 0).then_some(line))
    });
    let failed = |cause: String| Problem::new(ErrorCode::Usage, "could not read standard input").with_cause(cause);
    Ok(read.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?)
}

fn read_prompt() -> Result<String, CommandError> {
    let mut prompt = String::new();
    let read = std::io::stdin().lock().take(LARGEST_PROMPT + 1).read_to_string(&mut prompt);
    if let Err(error) = read {
        let problem = Problem::new(ErrorCode::Usage, "could not read the prompt from standard input").with_cause(error.to_string());
        return Err(problem.into());
    }
    if prompt.len() as u64 > LARGEST_PROMPT {
        return Err(CommandError::usage("the prompt on standard input is larger than 16 MiB", "send less at a time"));
    }
    if prompt.trim().is_empty() {
        return Err(CommandError::usage("there is no prompt", "give it after the name, or through standard input"));
    }
    Ok(prompt)
}

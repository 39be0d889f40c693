//! `orch quickstart`: the main job end to end. Each step is shown with its time; at the end everything is as it was,
//! unless it is to be kept. Ctrl-C in the middle leaves nothing half done.

mod closing;
mod ledger;
mod steps;
mod turn;

use orchestrator_core::InstanceName;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::Value;

use crate::args::instance::QuickstartArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::interrupt::tidying_up;
use crate::model_argument;
use crate::progress::Steps;
use ledger::Ledger;

/// What came of it, for programs.
#[derive(Debug, Serialize)]
struct Outcome {
    endpoint: String,
    instance: InstanceName,
    model: String,
    engine_version: String,
    ready_ms: u64,
    reply: String,
    structured: Value,
    tool_call: Value,
}

/// Shows the whole thing work.
pub(crate) async fn run(context: &Context, arguments: &QuickstartArguments) -> Result<(), CommandError> {
    context.home()?;
    let model = arguments.model.as_deref().map(model_argument::parse).transpose()?;
    let ledger = Ledger::default();
    let outcome = tidying_up(Box::pin(show(context, model, &ledger)), async || ledger.undo(context).await).await;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(interrupted @ CommandError::Interrupted { .. }) => return Err(interrupted),
        Err(error) => {
            // What failed is told first; that something could not be undone matters less.
            ledger.undo(context).await;
            return Err(error);
        }
    };
    if arguments.keep {
        ledger.keep();
    }
    let left_running = arguments.keep || !ledger.started_instance();
    ledger.undo(context).await;
    if context.output.is_json() {
        return context.output.json(&outcome);
    }
    context.output.text(&closing::text(&outcome, left_running))
}

async fn show(
    context: &Context,
    model: Option<orchestrator_core::model::ModelReference>,
    ledger: &Ledger,
) -> Result<Outcome, CommandError> {
    let steps = Steps::new(context.output);
    let paths = context.paths()?;
    ledger.holds(turn::take(paths, &steps).await?);
    let (client, endpoint) = steps::daemon(context, &steps, ledger).await?;
    let is_demo = model.is_none();
    // A model that cannot be used is told before anything is built for it.
    let model = match model {
        Some(model) => steps::real_model(context, &client, &steps, model, ledger).await?,
        None => steps::demo_model(&client, paths, &steps).await?,
    };
    let engine_version = steps::environment(context, &client, &steps, ledger).await?;
    let name = steps::instance(paths, &steps, &model)?;
    let ready_ms = steps::start(&client, &steps, &name, ledger).await?;
    let reply = steps::chat(context, &client, &name, is_demo).await?;
    let structured = steps::structured(context, &client, &steps, &name).await?;
    let tool_call = steps::tool_call(context, &client, &steps, &name).await?;
    Ok(Outcome { endpoint, instance: name, model: model.to_string(), engine_version, ready_ms, reply, structured, tool_call })
}

/// Writes a heading between the steps and what the model says.
fn quoted(text: &str) -> String {
    format!("  {} {text}", "│".dimmed())
}

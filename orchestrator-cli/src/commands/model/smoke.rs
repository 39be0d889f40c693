//! `orch model smoke`: a model from its source to its answers, in an instance of its own that is gone at the end.

mod checks;
mod stage;

use std::time::Instant;

use orchestrator_core::model::{ModelPurpose, ModelReference};
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_server::Client;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::args::model::SmokeArguments;
use crate::commands::up;
use crate::context::Context;
use crate::error::CommandError;
use crate::fetch::{self, Consent};
use crate::interrupt::{tidying_up, unless_interrupted};
use crate::model_argument;
use crate::output::format;
use crate::progress::Steps;
use stage::Stage;

/// What came of it, for programs.
#[derive(Debug, Serialize)]
struct Outcome {
    reference: ModelReference,
    instance: InstanceName,
    passed: bool,
    checks: Vec<Check>,
}

/// What came of one thing that was tried.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    passed: bool,
    /// What was seen.
    detail: String,
    took_ms: u64,
}

/// Tries a model.
pub(crate) async fn run(context: &Context, arguments: &SmokeArguments) -> Result<(), CommandError> {
    let reference = model_argument::parse(&arguments.reference)?;
    let paths = context.paths()?;
    let client = unless_interrupted(None, context.client()).await?;
    let consent = if arguments.yes { Consent::Given } else { Consent::Asked };
    let model = Box::pin(fetch::ensure(context, &client, &reference, consent)).await?;
    let stage = Stage::set(paths, &model)?;
    let mut report = Report { context, steps: Steps::new(context.output), checks: Vec::new() };
    let detail = format!("{} of {}", model.architecture, format::bytes(model.size_bytes));
    report.passed("model", detail, Instant::now())?;
    let tried = tidying_up(Box::pin(try_all(&mut report, &client, stage.name(), ModelPurpose::of(&model))), async || {
        Some(match stage.strike(&client).await {
            Ok(()) => "the instance that was made for this is gone again".to_owned(),
            Err(_) => format!("the instance that was made for this could not be removed: `orch rm --force {}` does it", stage.name()),
        })
    })
    .await;
    if let Err(interrupted @ CommandError::Interrupted { .. }) = tried {
        return Err(interrupted);
    }
    if arguments.keep && tried.is_ok() {
        context.output.note(&format!("`{0}` goes on running; `orch rm --force {0}` removes it.", stage.name()));
    } else {
        let began = Instant::now();
        stage.strike(&client).await?;
        report.passed("stop", "nothing of it is left".to_owned(), began)?;
    }
    tried?;
    let passed = report.checks.iter().all(|check| check.passed);
    if context.output.is_json() {
        context.output.json(&Outcome { reference, instance: stage.name().clone(), passed, checks: report.checks })?;
    }
    if passed { Ok(()) } else { Err(CommandError::Reported(ErrorCode::AnswerInvalid)) }
}

async fn try_all(report: &mut Report<'_>, client: &Client, name: &InstanceName, purpose: ModelPurpose) -> Result<(), CommandError> {
    let began = Instant::now();
    let mut step = report.steps.begin(format!("starting {name}"));
    let summary = up::watched(client, name, &mut step, Box::pin(client.up_and_wait(name))).await?;
    drop(step);
    let port = summary.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    report.passed("start", format!("ready{port}"), began)?;
    match purpose {
        ModelPurpose::Generation => {
            report.checked("chat", "asking for an answer", checks::chat(client, name)).await?;
            report.checked("tool call", "asking for a strict tool call", checks::tool_call(client, name)).await
        }
        ModelPurpose::Embedding => report.checked("embeddings", "asking for embeddings", checks::embeddings(client, name)).await,
        ModelPurpose::Ranking => report.checked("rerank", "asking for a ranking", checks::ranking(client, name)).await,
    }
}

/// Collects what came of each check, and shows it as it comes.
struct Report<'a> {
    context: &'a Context,
    steps: Steps,
    checks: Vec<Check>,
}

impl Report<'_> {
    /// Waits for a check. One that fails is a result: the others are tried all the same.
    async fn checked(
        &mut self,
        name: &'static str,
        title: &str,
        check: impl Future<Output = Result<String, CommandError>>,
    ) -> Result<(), CommandError> {
        let began = Instant::now();
        let step = self.steps.begin(title);
        let outcome = check.await;
        drop(step);
        match outcome {
            Ok(detail) => self.passed(name, detail, began),
            Err(CommandError::Problems(problems)) => {
                let detail = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
                self.add(name, false, detail, began)
            }
            Err(error) => Err(error),
        }
    }

    fn passed(&mut self, name: &'static str, detail: String, began: Instant) -> Result<(), CommandError> {
        self.add(name, true, detail, began)
    }

    fn add(&mut self, name: &'static str, passed: bool, detail: String, began: Instant) -> Result<(), CommandError> {
        let elapsed = began.elapsed();
        let check = Check { name, passed, detail, took_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) };
        if !self.context.output.is_json() {
            let line = line(&check);
            self.steps.aside(|| self.context.output.line(&line))?;
        }
        self.checks.push(check);
        Ok(())
    }
}

fn line(check: &Check) -> String {
    let mark = if check.passed { "✓".green().to_string() } else { "✗".red().to_string() };
    let took = format::elapsed(std::time::Duration::from_millis(check.took_ms));
    format!("{mark} {:<11} {}  {}", check.name, format::printable(&check.detail), took.dimmed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_shown_with_its_mark_and_its_time() {
        let check = |name, passed, detail: &str| Check { name, passed, detail: detail.to_owned(), took_ms: 80 };
        let plain = |check| anstream::adapter::strip_str(&line(&check)).to_string();
        assert_eq!(plain(check("chat", true, "streamed 7 characters")), "✓ chat        streamed 7 characters  80 ms");
        assert_eq!(plain(check("tool call", false, "no\x1b[2J")), "✗ tool call   no\\u{1b}[2J  80 ms");
    }
}

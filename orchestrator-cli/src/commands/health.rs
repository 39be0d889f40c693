//! `orch health`: how well instances do, and why. Its exit code says whether all is well.

use futures_util::future::try_join_all;
use orchestrator_core::instance::{Health, InstanceState};
use orchestrator_core::runtime::RuntimeKind;
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use orchestrator_server::api::{InstanceList, RuntimeStatus, RuntimeSummary};
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::args::instance::HealthArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::state;
use crate::output::table::{self, Cell, Column};

/// The health of one instance.
#[derive(Debug, Serialize)]
struct HealthReport {
    name: InstanceName,
    health: Health,
    state: &'static str,
    reason: String,
    runtime: RuntimeKind,
    /// How all instances of its runtime do together.
    runtime_status: Option<RuntimeStatus>,
    #[serde(skip)]
    in_trouble: bool,
    #[serde(skip)]
    stopped: bool,
}

/// Shows the health of one instance or of all.
pub(crate) async fn run(context: &Context, arguments: &HealthArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let InstanceList { instances, mut problems, runtimes, warnings } = client.instances().await?;
    let names: Vec<InstanceName> = if let Some(name) = &arguments.name {
        // The others' configurations are not asked about.
        problems.clear();
        vec![name.clone()]
    } else {
        instances.into_iter().map(|instance| instance.name).collect()
    };
    let status_of = |runtime| runtimes.iter().find(|summary| summary.runtime == runtime).map(|summary| summary.status);
    let descriptions = try_join_all(names.iter().map(|name| client.describe(name))).await?;
    let reports: Vec<HealthReport> = descriptions
        .into_iter()
        .map(|description| HealthReport {
            health: description.summary.health,
            state: description.state.name(),
            reason: description.reason,
            runtime: description.summary.runtime,
            runtime_status: status_of(description.summary.runtime),
            in_trouble: state::is_in_trouble(&description.state),
            stopped: matches!(description.state, InstanceState::Stopped { .. }),
            name: description.summary.name,
        })
        .collect();
    if context.output.is_json() {
        context.output.json(&reports)?;
    } else if !reports.is_empty() {
        context.output.text(&render(&reports, context.output.width()))?;
        if arguments.name.is_none() {
            context.output.text(&runtime_lines(&runtimes))?;
        }
    } else if problems.is_empty() {
        context.output.note("There is no instance.");
    }
    context.output.warnings(&warnings);
    problems.extend(verdict(&reports, arguments.name.is_some()));
    CommandError::from_all(problems)
}

fn render(reports: &[HealthReport], width: Option<usize>) -> String {
    let columns = [Column::words("NAME", 0), Column::words("HEALTH", 0), Column::words("STATE", 1), Column::words("REASON", 0)];
    let rows: Vec<Vec<Cell>> = reports
        .iter()
        .map(|report| {
            vec![
                Cell::new(report.name.as_str()),
                Cell::new(report.health.as_str()).styled(state::health_style(report.health)),
                Cell::new(report.state),
                Cell::new(report.reason.as_str()),
            ]
        })
        .collect();
    table::render(&columns, &rows, width)
}

/// One line for each kind of engine that has instances.
fn runtime_lines(runtimes: &[RuntimeSummary]) -> String {
    let lines = runtimes.iter().filter(|summary| summary.instances > 0).map(|summary| {
        let status = summary.status.as_str().style(state::runtime_style(summary.status)).to_string();
        let RuntimeSummary { runtime, instances, healthy, ill, .. } = summary;
        let ill = if *ill == 0 { String::new() } else { format!(", {ill} unhealthy or failed") };
        format!("\nThe runtime {} is {status}: {healthy} of {instances} instances healthy{ill}.\n", runtime.as_str())
    });
    lines.collect()
}

fn verdict(reports: &[HealthReport], one_was_named: bool) -> Option<Problem> {
    let ill: Vec<&str> = reports.iter().filter(|report| report.in_trouble).map(|report| report.name.as_str()).collect();
    match (ill.as_slice(), reports) {
        ([], [report]) if one_was_named && report.stopped => {
            let problem = Problem::new(ErrorCode::InstanceNotRunning, format!("`{}` is not running", report.name));
            Some(problem.with_hint(format!("start it with `orch up {}`", report.name)))
        }
        ([], _) => None,
        ([name], _) => {
            let problem = Problem::new(ErrorCode::InstanceUnhealthy, format!("`{name}` is not healthy"));
            Some(problem.with_hint(format!("`orch describe {name}` tells more, `orch logs {name}` shows what it said")))
        }
        ([first, ..], _) => {
            let problem = Problem::new(ErrorCode::InstanceUnhealthy, format!("{} are not healthy", ill.join(", ")));
            Some(problem.with_hint(format!("`orch describe {first}` tells more, `orch logs {first}` shows what it said")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn report(name: &str, state: &'static str) -> HealthReport {
        HealthReport {
            name: InstanceName::try_new(name).unwrap(),
            health: Health::Unknown,
            state,
            reason: String::new(),
            runtime: RuntimeKind::LlamaCpp,
            runtime_status: None,
            in_trouble: matches!(state, "unhealthy" | "backoff" | "failed"),
            stopped: state == "stopped",
        }
    }

    #[test]
    fn a_runtime_is_summed_up_in_a_line() {
        let summary = |status, healthy, ill| RuntimeSummary { runtime: RuntimeKind::LlamaCpp, status, instances: 3, healthy, ill };
        let text = |summary| anstream::adapter::strip_str(&runtime_lines(&[summary])).to_string();
        let online = text(summary(RuntimeStatus::Online, 2, 0));
        assert_eq!(online, "\nThe runtime llama_cpp is online: 2 of 3 instances healthy.\n");
        let degraded = text(summary(RuntimeStatus::Degraded, 2, 1));
        assert_eq!(degraded, "\nThe runtime llama_cpp is degraded: 2 of 3 instances healthy, 1 unhealthy or failed.\n");
        assert_eq!(text(RuntimeSummary { instances: 0, ..summary(RuntimeStatus::Offline, 0, 0) }), "");
    }

    #[test]
    fn only_what_should_run_and_does_not_is_a_failure() {
        let code = |reports: &[HealthReport], named| verdict(reports, named).map(|problem| problem.code);
        assert_eq!(code(&[], false), None);
        assert_eq!(code(&[report("a", "ready"), report("b", "stopped"), report("c", "loading")], false), None);
        assert_eq!(code(&[report("a", "ready"), report("b", "backoff")], false), Some(ErrorCode::InstanceUnhealthy));
        assert_eq!(code(&[report("a", "failed"), report("b", "unhealthy")], false), Some(ErrorCode::InstanceUnhealthy));
        assert_eq!(code(&[report("a", "stopped")], false), None);
        assert_eq!(code(&[report("a", "stopped")], true), Some(ErrorCode::InstanceNotRunning));
    }
}

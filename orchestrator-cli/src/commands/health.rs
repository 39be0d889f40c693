//! `orch health`: how well instances do, and why. Its exit code says whether all is well.

use futures_util::future::try_join_all;
use orchestrator_core::instance::{Health, InstanceState};
use orchestrator_core::{ErrorCode, InstanceName, Problem};
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
    #[serde(skip)]
    in_trouble: bool,
    #[serde(skip)]
    stopped: bool,
}

/// Shows the health of one instance or of all.
pub(crate) async fn run(context: &Context, arguments: &HealthArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let mut problems = Vec::new();
    let names = if let Some(name) = &arguments.name {
        vec![name.clone()]
    } else {
        let list = client.instances().await?;
        problems = list.problems;
        list.instances.into_iter().map(|instance| instance.name).collect()
    };
    let descriptions = try_join_all(names.iter().map(|name| client.describe(name))).await?;
    let reports: Vec<HealthReport> = descriptions
        .into_iter()
        .map(|description| HealthReport {
            health: description.summary.health,
            state: description.state.name(),
            reason: state::reason(&description.state),
            in_trouble: state::is_in_trouble(&description.state),
            stopped: matches!(description.state, InstanceState::Stopped { .. }),
            name: description.summary.name,
        })
        .collect();
    if context.output.is_json() {
        context.output.json(&reports)?;
    } else if !reports.is_empty() {
        context.output.text(&render(&reports, context.output.width()))?;
    } else if problems.is_empty() {
        context.output.note("There is no instance.");
    }
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
            in_trouble: matches!(state, "unhealthy" | "backoff" | "failed"),
            stopped: state == "stopped",
        }
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

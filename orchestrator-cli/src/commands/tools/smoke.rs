//! `orch tools smoke`: has a model call tools through the gateway, and holds every call against its schema once more.

mod ask;
mod sets;

use std::time::{Duration, Instant};

use orchestrator_core::ErrorCode;
use owo_colors::Style;
use serde::Serialize;

use crate::args::tools::SmokeArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::table::{self, Cell, Column};
use ask::Verdict;
use sets::SmokeSet;

/// What came of one set of tools.
#[derive(Debug, Serialize)]
struct Row {
    tools: &'static str,
    asked: u32,
    valid: u32,
    reasks: u32,
    /// The last thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// How long the calls took on average, in milliseconds.
    average_ms: u64,
    #[serde(skip)]
    took: Duration,
}

/// What came of all of them.
#[derive(Debug, Serialize)]
struct Summary {
    asked: u32,
    valid: u32,
    sets: Vec<Row>,
}

/// Asks, judges, and shows a table of verdicts.
pub(crate) async fn run(context: &Context, arguments: &SmokeArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let sets = sets::all();
    let mut rows: Vec<Row> = sets.iter().map(row).collect();
    for number in 0..arguments.count {
        let index = number as usize % sets.len();
        let (set, row) = (&sets[index], &mut rows[index]);
        // Each set is asked both ways.
        let streams = (number as usize / sets.len()) % 2 == 1;
        let began = Instant::now();
        let verdict = ask::ask(&client, &arguments.instance, set, number, streams).await?;
        row.took += began.elapsed();
        row.asked += 1;
        match verdict {
            Verdict::Valid { reasks } => {
                row.valid += 1;
                row.reasks += reasks;
            }
            Verdict::Invalid { reason } => row.problem = Some(reason),
        }
    }
    rows.retain(|row| row.asked > 0);
    for row in &mut rows {
        row.average_ms = u64::try_from((row.took / row.asked).as_millis()).unwrap_or(u64::MAX);
    }
    let summary = Summary { asked: arguments.count, valid: rows.iter().map(|row| row.valid).sum(), sets: rows };
    if context.output.is_json() {
        context.output.json(&summary)?;
    } else {
        context.output.text(&render(&summary, context.output.width()))?;
    }
    if summary.valid == summary.asked { Ok(()) } else { Err(CommandError::Reported(ErrorCode::AnswerInvalid)) }
}

fn row(set: &SmokeSet) -> Row {
    Row { tools: set.name, asked: 0, valid: 0, reasks: 0, problem: None, average_ms: 0, took: Duration::ZERO }
}

fn render(summary: &Summary, width: Option<usize>) -> String {
    let columns = [
        Column::words("TOOLS", 0),
        Column::numbers("CALLS", 0),
        Column::numbers("VALID", 0),
        Column::numbers("REASKS", 1),
        Column::numbers("MS", 2),
        Column::words("PROBLEM", 3).cut_to(20),
    ];
    let rows: Vec<Vec<Cell>> = summary
        .sets
        .iter()
        .map(|row| {
            let colour = if row.valid == row.asked { Style::new().green() } else { Style::new().red() };
            vec![
                Cell::new(row.tools),
                Cell::new(row.asked.to_string()),
                Cell::new(row.valid.to_string()).styled(colour),
                Cell::new(row.reasks.to_string()),
                Cell::new(row.average_ms.to_string()),
                Cell::optional(row.problem.as_deref()),
            ]
        })
        .collect();
    let table = table::render(&columns, &rows, width);
    format!("{table}\n{} of {} calls are valid.\n", summary.valid, summary.asked)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_toolcall::ToolSet;

    use super::*;

    #[test]
    fn there_are_ten_sets_and_all_can_be_used() {
        let sets = sets::all();
        assert_eq!(sets.len(), 10);
        for set in sets {
            assert!(!ToolSet::from_openai(&set.tools).unwrap().tools().is_empty(), "{}", set.name);
        }
    }

    #[test]
    fn the_table_shows_what_failed() {
        let bad = Row { asked: 2, valid: 1, problem: Some("`required` at /calls/0".to_owned()), ..row(&sets::all()[0]) };
        let text = render(&Summary { asked: 2, valid: 1, sets: vec![bad] }, None);
        let text = anstream::adapter::strip_str(&text).to_string();
        insta::assert_snapshot!(text, @r"
        TOOLS  CALLS  VALID  REASKS  MS  PROBLEM
        plain      2      1       0   0  `required` at /calls/0

        1 of 2 calls are valid.
        ");
    }
}

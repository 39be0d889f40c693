//! `orch model prune`: removes models that no instance uses, those first that were not used for longest.

use orchestrator_core::orchestrator::models::PruneReport;
use orchestrator_server::api::PruneBody;

use crate::args::model::PruneArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::model_argument;
use crate::output::format;
use crate::output::table::{self, Cell, Column};

/// Removes them, or only tells which would go.
pub(crate) async fn run(context: &Context, arguments: &PruneArguments) -> Result<(), CommandError> {
    let keep = arguments.keep.iter().map(|text| model_argument::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let body = PruneBody { dry_run: arguments.dry_run, until_bytes: arguments.to.map(|size| size.0), keep };
    let report = context.client().await?.prune_models(&body).await?;
    if context.output.is_json() {
        return context.output.json(&report);
    }
    if !report.removed.is_empty() {
        context.output.text(&render(&report, context.output.width()))?;
    }
    context.output.line(&outcome(&report, arguments.dry_run))
}

fn render(report: &PruneReport, width: Option<usize>) -> String {
    let columns = [Column::words("REFERENCE", 0).cut_to(24), Column::numbers("SIZE", 0), Column::words("UNUSED SINCE", 1)];
    let rows: Vec<Vec<Cell>> = report
        .removed
        .iter()
        .map(|model| {
            let since = model.unused_since.to_string();
            vec![
                Cell::new(model.reference.to_string()),
                Cell::new(format::bytes(model.size_bytes)),
                Cell::new(since.get(..10).unwrap_or(&since)),
            ]
        })
        .collect();
    table::render(&columns, &rows, width)
}

fn outcome(report: &PruneReport, is_dry: bool) -> String {
    let kept = format::bytes(report.kept_bytes);
    match (report.removed.len(), is_dry) {
        (0, _) => format!("There is nothing to remove; {kept} are in use or kept."),
        (_, true) => format!("{} would become free, {kept} would stay. Nothing was removed.", format::bytes(report.freed_bytes)),
        (_, false) => format!("{} are free again, {kept} stay.", format::bytes(report.freed_bytes)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::event::Timestamp;
    use orchestrator_core::orchestrator::models::PrunedModel;

    use super::*;

    #[test]
    fn what_goes_is_listed_and_summed_up() {
        let model = |reference: &str, size_bytes| PrunedModel {
            reference: reference.parse().unwrap(),
            size_bytes,
            unused_since: Timestamp::from_millis(1_769_860_800_000).unwrap(),
        };
        let report = PruneReport {
            removed: vec![model("hf:bartowski/gemma-3-4b-it-GGUF:Q4_K_M", 3 << 30), model("ollama:qwen3", 1 << 30)],
            freed_bytes: 4 << 30,
            kept_bytes: 1 << 29,
        };
        let plain = anstream::adapter::strip_str(&render(&report, Some(60))).to_string();
        insta::assert_snapshot!(format!("{plain}{}", outcome(&report, false)));
        assert!(outcome(&report, true).contains("Nothing was removed"));
        assert!(outcome(&PruneReport::default(), false).contains("nothing to remove"));
    }
}

//! `orch model search`: what the sources of models have.

use orchestrator_core::provider::{FoundModel, SearchResults};
use owo_colors::OwoColorize as _;

use crate::args::model::SearchArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::format;
use crate::output::table::{self, Cell, Column};

/// How many variants of a model are named.
const VARIANTS_SHOWN: usize = 6;

/// Searches, and shows what was found.
pub(crate) async fn run(context: &Context, arguments: &SearchArguments) -> Result<(), CommandError> {
    let client = context.client().await?;
    let provider = arguments.provider.map(Into::into);
    let results = client.search_models(&arguments.query, provider, arguments.limit).await?;
    if context.output.is_json() {
        return context.output.json(&results);
    }
    if let Some(since) = results.stale_since {
        context.output.note(&format!("{} the source cannot be reached; this is what it had at {since}", "warning:".yellow().bold()));
    }
    if results.models.is_empty() {
        context.output.note("Nothing was found. Fewer words find more.");
        return Ok(());
    }
    context.output.text(&render(&results, context.output.width()))
}

fn render(results: &SearchResults, width: Option<usize>) -> String {
    let columns = [
        Column::words("REFERENCE", 0),
        Column::numbers("DOWNLOADS", 1),
        Column::numbers("LIKES", 4),
        Column::words("LICENCE", 2),
        Column::words("ACCESS", 3),
        Column::words("VARIANTS", 5).cut_to(12),
    ];
    let rows: Vec<Vec<Cell>> = results.models.iter().map(row).collect();
    table::render(&columns, &rows, width)
}

fn row(model: &FoundModel) -> Vec<Cell> {
    vec![
        Cell::new(model.reference.to_string()),
        Cell::optional(model.downloads.map(format::count)),
        Cell::optional(model.likes.map(format::count)),
        Cell::optional(model.licence.as_deref()),
        Cell::new(if model.gated { "gated" } else { "open" }),
        Cell::new(variants(&model.variants)),
    ]
}

fn variants(variants: &[String]) -> String {
    let shown = variants.iter().take(VARIANTS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(" ");
    let hidden = variants.len().saturating_sub(VARIANTS_SHOWN);
    if hidden > 0 { format!("{shown} +{hidden}") } else { shown }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn found(reference: &str, gated: bool, variants: &[&str]) -> FoundModel {
        FoundModel {
            reference: reference.parse().unwrap(),
            description: None,
            downloads: Some(1_234_567),
            likes: gated.then_some(7),
            licence: Some("apache-2.0".to_owned()),
            gated,
            variants: variants.iter().map(|variant| (*variant).to_owned()).collect(),
        }
    }

    #[test]
    fn the_reference_is_always_shown_and_the_rest_where_there_is_room() {
        let results = SearchResults {
            models: vec![
                found("hf:Qwen/Qwen3-0.6B-GGUF", false, &["Q4_K_M", "Q8_0"]),
                found("ollama:gemma3", true, &["1b", "4b", "12b", "27b", "270m", "latest", "it"]),
            ],
            stale_since: None,
        };
        let plain = |width| anstream::adapter::strip_str(&render(&results, width)).to_string();
        insta::assert_snapshot!("wide", plain(None));
        insta::assert_snapshot!("narrow", plain(Some(60)));
        assert!(plain(Some(60)).lines().all(|line| line.chars().count() <= 60));
    }
}

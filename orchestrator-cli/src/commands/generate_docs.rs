//! `orch generate-docs` (hidden): the reference page of the command line, `docs/cli-reference.md`, and that of the
//! metrics, `docs/metrics.md`.

use std::fmt::Write as _;

use clap::Command;

use crate::args::{self, GenerateDocsArguments, ReferencePage};
use crate::context::Context;
use crate::error::CommandError;

/// The width of the help texts on the page.
const WIDTH: usize = 80;

/// Prints a page.
pub(crate) fn run(context: &Context, arguments: &GenerateDocsArguments) -> Result<(), CommandError> {
    context.output.text(&match arguments.page {
        ReferencePage::Commands => page(),
        ReferencePage::Metrics => orchestrator_server::metrics::reference(),
    })
}

/// Returns the page: the help of every command, in the order of `orch --help`.
#[must_use]
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Command line reference\n\n\
         <!-- Generated from the definition of the command line by `cargo xtask gen`. Do not edit. -->\n\n\
         Exit codes and the codes of errors are on the [page of errors](errors.md). With `--json` an error is one\n\
         JSON object a line on standard error: `{\"error\": {\"code\": …, \"title\": …, \"causes\": […], \"hint\": …}}`.\n\
         A command that Ctrl-C ends exits with 130.\n",
    );
    for (name, help) in helps(WIDTH) {
        let depth = if name.contains(' ') { "##" } else { "#" };
        // Writing to a `String` cannot fail.
        let _ = write!(page, "\n{depth}# `{name}`\n\n```text\n{}\n```\n", help.trim_end());
    }
    page
}

/// Returns what `--help` prints for every visible command, with its name, laid out for `width` columns.
fn helps(width: usize) -> Vec<(String, String)> {
    let mut helps = Vec::new();
    collect(&args::command(), &["orch"], width, &mut helps);
    helps
}

fn collect(command: &Command, words: &[&str], width: usize, helps: &mut Vec<(String, String)>) {
    let asked = args::command().term_width(width).max_term_width(width).try_get_matches_from(words.iter().copied().chain(["--help"]));
    let help = asked.err().map(|answer| answer.render().to_string()).unwrap_or_default();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    helps.push((words.join(" "), lines.join("\n")));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let words: Vec<&str> = words.iter().copied().chain([below.get_name()]).collect();
        collect(below, &words, width, helps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_every_command_is_as_it_was() {
        for (name, help) in helps(WIDTH) {
            insta::assert_snapshot!(name.replace(' ', "_"), help);
        }
    }

    #[test]
    fn every_command_has_examples() {
        for (name, help) in helps(WIDTH) {
            let is_group = help.contains("\nCommands:") && name != "orch";
            assert!(is_group || help.contains("\nExamples:\n  "), "`{name}` has no examples");
        }
    }

    #[test]
    fn the_help_is_readable_at_60_columns() {
        for (name, help) in helps(60) {
            for line in help.lines() {
                assert!(line.chars().count() <= 60, "`{name} --help` is wider than 60 columns: {line:?}");
            }
        }
    }

    #[test]
    fn the_page_shows_every_command_once() {
        let page = page();
        for name in ["orch quickstart", "orch daemon stop", "orch config schema", "orch model info"] {
            assert_eq!(page.matches(&format!("# `{name}`\n")).count(), 1, "{name}");
        }
        assert!(!page.contains("generate-docs") && !page.contains("--background"));
    }
}

//! From the words of the command line to [`Arguments`]; what cannot be understood, and options that would do
//! nothing, are refused.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use orchestrator_core::{ErrorCode, Problem};

use crate::args::{self, Arguments, Command};
use crate::error::{self, CommandError};
use crate::exit_code;

/// Reads the command line. When there is nothing to do (help, version, a mistake), says so and returns the status.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    try_parse(&words).map_err(|error| {
        let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if !is_answer && words.iter().any(|word| word == "--json") {
            write_error(&error::render_json(&to_problem(&error)));
        } else {
            // A closed pipe is no failure.
            let _ = error.print();
        }
        ExitCode::from(if is_answer { exit_code::OK } else { exit_code::USAGE })
    })
}

fn try_parse(words: &[OsString]) -> Result<Arguments, clap::Error> {
    let no_color = words.iter().any(|word| word == "--no-color");
    let command = args::command().color(if no_color { clap::ColorChoice::Never } else { clap::ColorChoice::Auto });
    Arguments::from_arg_matches(&command.try_get_matches_from(words)?)
}

fn to_problem(error: &clap::Error) -> Problem {
    let text = error.render().to_string();
    let title: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let title = title.join(" ").trim_start_matches("error: ").to_owned();
    let tip = text.lines().find_map(|line| line.trim_start().strip_prefix("tip: "));
    let problem = Problem::new(ErrorCode::Usage, title);
    problem.with_hint(tip.unwrap_or("`orch --help` lists the commands, `orch COMMAND --help` explains one"))
}

fn write_error(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Refuses options that the command would not heed: an option that does nothing misleads.
pub(crate) fn refuse_idle_options(arguments: &Arguments) -> Result<(), CommandError> {
    let globals = &arguments.globals;
    let name = match &arguments.command {
        Command::Completions(_) => "completions",
        Command::GenerateDocs(_) => "generate-docs",
        Command::Run(run) if globals.json && run.prompt.is_none() && std::io::stdin().is_terminal() => {
            return Err(CommandError::usage(
                "`--json` gives one answer, and there is no prompt",
                "give the prompt after the name, or through standard input",
            ));
        }
        _ => return Ok(()),
    };
    let idle = [("--json", globals.json), ("--host", globals.host.is_some()), ("--home", globals.home.is_some())];
    match idle.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(CommandError::usage(format!("`orch {name}` has no use for `{option}`"), format!("leave out `{option}`"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn parse_words(words: &[&str]) -> Result<Arguments, clap::Error> {
        let words: Vec<OsString> = ["orch"].iter().chain(words).map(OsString::from).collect();
        try_parse(&words)
    }

    fn refusal(words: &[&str]) -> String {
        parse_words(words).map(|_| ()).unwrap_err().render().to_string()
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        args::command().debug_assert();
    }

    #[test]
    fn a_mistyped_command_or_option_is_met_with_the_nearest() {
        assert!(refusal(&["quikstart"]).contains("'quickstart'"), "{}", refusal(&["quikstart"]));
        assert!(refusal(&["up", "--no-wat", "x"]).contains("'--no-wait'"), "{}", refusal(&["up", "--no-wat", "x"]));
        assert!(refusal(&["init", "x", "--model", "y", "--template", "cud"]).contains("'cuda'"));
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused_with_the_rule() {
        let text = refusal(&["up", "Qwen"]);
        assert!(text.contains("only lowercase letters, digits and `-` are allowed"), "{text}");
    }

    #[test]
    fn what_contradicts_itself_or_says_too_little_is_refused() {
        for words in [
            &["up"][..],
            &["up", "--all", "x"],
            &["down"],
            &["rm"],
            &["--quiet", "-v", "ps"],
            &["--home", "/x", "--host", "http://y", "ps"],
            &["init", "x"],
            &["logs", "x", "--tail", "many"],
            &["serve", "extra"],
            &["model", "pull"],
            &["model", "search", "x", "--limit", "0"],
            &["model", "search", "x", "--provider", "modelscope"],
            &["model", "fit", "x", "--kv", "f17"],
            &["model", "fit", "x", "--gpu", "best"],
            &["model", "fit", "x", "--context", "0"],
            &["model", "prune", "--to", "much"],
            &["model", "import"],
        ] {
            assert!(parse_words(words).is_err(), "{words:?} was accepted");
        }
    }

    #[test]
    fn global_options_may_stand_before_and_after_the_command() {
        for words in [&["--json", "ps"][..], &["ps", "--json"]] {
            assert!(parse_words(words).unwrap().globals.json);
        }
    }

    #[test]
    fn options_without_effect_are_refused() {
        for words in [&["completions", "bash", "--json"][..], &["completions", "bash", "--home", "/x"]] {
            let error = refuse_idle_options(&parse_words(words).unwrap()).unwrap_err();
            assert_eq!(exit_code::status_of(&Err(error)), exit_code::USAGE);
        }
        assert!(refuse_idle_options(&parse_words(&["ps", "--json"]).unwrap()).is_ok());
    }

    #[test]
    fn a_usage_error_is_a_problem_for_programs() {
        let error = parse_words(&["upp"]).map(|_| ()).unwrap_err();
        let problem = to_problem(&error);
        assert_eq!(problem.code, ErrorCode::Usage);
        assert!(problem.title.contains("upp"), "{}", problem.title);
    }
}

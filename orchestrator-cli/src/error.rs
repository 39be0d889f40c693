//! How a command fails, and how that is shown: `error:`, the causes, what the engine said, a blank line, `hint:`.

use std::fmt::Write as _;
use std::io;

use orchestrator_core::config::ConfigError;
use orchestrator_core::model::ModelReferenceError;
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_server::ClientError;
use owo_colors::OwoColorize as _;

use crate::exit_code;
use crate::home::HomeError;
use crate::output::format;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// What is shown to the reader; the first one decides the exit code.
    Problems(Vec<Problem>),
    /// The command has shown the failure itself, as a part of its result.
    Reported(ErrorCode),
    /// A signal ended the command.
    Interrupted {
        /// The exit status that says so.
        status: u8,
        /// What goes on nevertheless, and how it is ended.
        note: Option<String>,
    },
    /// Whoever read our output has closed it. That is no failure.
    OutputClosed,
}

impl CommandError {
    /// Describes a command line that clap could not refuse.
    #[must_use]
    pub(crate) fn usage(title: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem::new(ErrorCode::Usage, title).with_hint(hint).into()
    }

    /// Describes an output that cannot be written.
    #[must_use]
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Problem::new(ErrorCode::Internal, "could not write the output").with_cause(error.to_string()).into()
    }

    /// Makes one failure of several; none is success.
    pub(crate) fn from_all(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::Problems(problems)) }
    }
}

impl From<Problem> for CommandError {
    fn from(problem: Problem) -> Self {
        Self::Problems(vec![problem])
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        // Not by the general way from an error to a problem: that one would lose what the daemon told us.
        error.into_problem().into()
    }
}

impl From<HomeError> for CommandError {
    fn from(error: HomeError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Problem::from(error).into()
    }
}

impl From<ModelReferenceError> for CommandError {
    fn from(error: ModelReferenceError) -> Self {
        Problem::from(error).into()
    }
}

/// How an error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// For people.
    Text,
    /// One JSON object a line: `{"error": Problem}`.
    Json,
}

/// Returns what is to be written to standard error about the end of a command.
#[must_use]
pub(crate) fn report(error: &CommandError, format: ErrorFormat) -> String {
    match (error, format) {
        (CommandError::Problems(problems), ErrorFormat::Text) => problems.iter().map(render_text).collect::<Vec<_>>().join("\n"),
        (CommandError::Problems(problems), ErrorFormat::Json) => problems.iter().map(render_json).collect(),
        (CommandError::Interrupted { note: Some(note), .. }, ErrorFormat::Text) => format!("{} {note}\n", "interrupted:".yellow().bold()),
        (CommandError::Interrupted { status, note }, ErrorFormat::Json) => {
            let title = if *status == exit_code::TERMINATED { "terminated" } else { "interrupted" };
            let mut problem = Problem::new(ErrorCode::Cancelled, title);
            problem.hint.clone_from(note);
            render_json(&problem)
        }
        (CommandError::Interrupted { note: None, .. }, ErrorFormat::Text) | (CommandError::Reported(_) | CommandError::OutputClosed, _) => {
            String::new()
        }
    }
}

/// Writes a problem for people.
#[must_use]
pub(crate) fn render_text(problem: &Problem) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{} {}", "error:".red().bold(), one_line(&problem.title));
    for cause in &problem.causes {
        let _ = writeln!(text, "  {} {}", "caused by:".red(), indent_after_first(&printable(cause), "    "));
    }
    if !problem.stderr_tail.is_empty() {
        let _ = writeln!(text, "  {}", "the engine's last words:".red());
        for line in &problem.stderr_tail {
            let _ = writeln!(text, "    {}", one_line(line).dimmed());
        }
    }
    if let Some(hint) = &problem.hint {
        let _ = writeln!(text, "\n{} {}", "hint:".cyan().bold(), indent_after_first(&printable(hint), "      "));
    }
    text
}

/// Writes a problem for programs.
#[must_use]
pub(crate) fn render_json(problem: &Problem) -> String {
    let mut text = serde_json::json!({ "error": problem }).to_string();
    text.push('\n');
    text
}

/// Escapes what could steer a terminal, and keeps line breaks.
fn printable(text: &str) -> String {
    text.split('\n').map(format::printable).collect::<Vec<_>>().join("\n")
}

fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ")
}

fn indent_after_first(text: &str, indent: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn plain(problem: &Problem) -> String {
        anstream::adapter::strip_str(&render_text(problem)).to_string()
    }

    #[test]
    fn an_error_names_its_causes_the_engines_words_and_the_way_out() {
        let mut problem = Problem::new(ErrorCode::InstanceStartFailed, "the server of `qwen` failed")
            .with_cause("it could not load the model: bad magic")
            .with_hint("run `orch logs qwen --stream stderr` for all it said");
        problem.stderr_tail = vec!["loading model".to_owned(), "gguf: bad magic".to_owned()];
        insta::assert_snapshot!(plain(&problem), @r"
        error: the server of `qwen` failed
          caused by: it could not load the model: bad magic
          the engine's last words:
            loading model
            gguf: bad magic

        hint: run `orch logs qwen --stream stderr` for all it said
        ");
    }

    #[test]
    fn a_bare_error_is_one_line() {
        assert_eq!(plain(&Problem::new(ErrorCode::InstanceUnknown, "there is no instance `x`")), "error: there is no instance `x`\n");
    }

    #[test]
    fn control_characters_of_others_do_not_reach_the_terminal() {
        let mut problem = Problem::new(ErrorCode::Internal, "a\x1b[2Jb\r").with_cause("c\x07\nd");
        problem.stderr_tail = vec!["\x1b]0;title\x07".to_owned()];
        let text = plain(&problem);
        assert!(!text.contains(['\x1b', '\x07', '\r']), "{text:?}");
    }

    #[test]
    fn several_problems_are_told_apart_and_the_first_decides_the_exit_code() {
        let error = CommandError::from_all(vec![
            Problem::new(ErrorCode::InstanceStartFailed, "the server of `a` failed"),
            Problem::new(ErrorCode::PortTaken, "port 1 is taken"),
        ]);
        assert_eq!(exit_code::status_of(&error), ErrorCode::InstanceStartFailed.exit_code());
        let text = report(&error.unwrap_err(), ErrorFormat::Json);
        let codes: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).ok().map(|value| value["error"]["code"].clone()))
            .collect();
        assert_eq!(codes, [Some("instance.start_failed".into()), Some("instance.port_taken".into())]);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = CommandError::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(report(&error, ErrorFormat::Text), "");
        assert_eq!(exit_code::status_of(&Err(error)), 0);
    }
}

//! Where results and diagnostics go. Human text and JSON go to standard output, everything else to standard error.
//! Nothing else in the crate prints.

pub(crate) mod format;
pub(crate) mod outline;
pub(crate) mod state;
pub(crate) mod table;

use std::io::{IsTerminal as _, Write as _};

use orchestrator_core::Problem;
use orchestrator_server::api::StandingWarning;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::args::Globals;
use crate::error::{self, CommandError, ErrorFormat};

/// What the results are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// The two streams of the process, and how to write to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: ResultFormat,
    quiet: bool,
}

impl Output {
    /// Follows the global options.
    #[must_use]
    pub(crate) fn new(globals: &Globals) -> Self {
        if globals.no_color {
            anstream::ColorChoice::Never.write_global();
        }
        Self { format: if globals.json { ResultFormat::Json } else { ResultFormat::Human }, quiet: globals.quiet }
    }

    /// Returns whether results are written for programs.
    #[must_use]
    pub(crate) fn is_json(self) -> bool {
        self.format == ResultFormat::Json
    }

    /// Returns whether only results and errors are wanted.
    #[must_use]
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Returns whether progress can be drawn over: a terminal, a person, and not `--quiet`.
    #[must_use]
    pub(crate) fn can_redraw(self) -> bool {
        !self.quiet && !self.is_json() && std::io::stderr().is_terminal()
    }

    /// Returns how many columns the results may take; `None` when nobody looks at them directly.
    #[must_use]
    #[expect(clippy::unused_self, reason = "how wide it is belongs to the output")]
    pub(crate) fn width(self) -> Option<usize> {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return None;
        }
        rustix::termios::tcgetwinsize(stdout).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    /// Returns how many columns what is drawn over may take.
    #[must_use]
    #[expect(clippy::unused_self, reason = "how wide it is belongs to the output")]
    pub(crate) fn redraw_width(self) -> usize {
        let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
        if columns == 0 { 80 } else { columns }
    }

    /// Returns whether a person can be asked something: somebody sees the question and can answer it.
    #[must_use]
    pub(crate) fn can_ask(self) -> bool {
        !self.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks a question on standard error and returns whether the answer is yes.
    pub(crate) async fn confirm(self, question: &str) -> bool {
        write_error_stream(&format!("{} [y/N] ", format::printable(question)));
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let answer = read.await.ok().and_then(Result::ok).unwrap_or_default();
        matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// Writes text for people to standard output as it is.
    #[expect(clippy::unused_self, reason = "where it goes belongs to the output")]
    pub(crate) fn text(self, text: &str) -> Result<(), CommandError> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| CommandError::output(&error))
    }

    /// Writes a line for people to standard output.
    pub(crate) fn line(self, text: &str) -> Result<(), CommandError> {
        self.text(&format!("{text}\n"))
    }

    /// Writes a value for programs, over several lines.
    pub(crate) fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CommandError> {
        let mut text = serde_json::to_string_pretty(value).map_err(|error| CommandError::output(&error.into()))?;
        text.push('\n');
        self.text(&text)
    }

    /// Writes a value for programs on one line, for streams of values.
    pub(crate) fn json_line<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CommandError> {
        let mut text = serde_json::to_string(value).map_err(|error| CommandError::output(&error.into()))?;
        text.push('\n');
        self.text(&text)
    }

    /// Tells people something beside the result, on standard error, unless they want it quiet.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet && !self.is_json() {
            write_error_stream(&format!("{text}\n"));
        }
    }

    /// Writes a part of a line to standard error, for those who watch a terminal.
    pub(crate) fn aside_text(self, text: &str) {
        if self.can_redraw() {
            write_error_stream(text);
        }
    }

    /// Tells people on standard error what they should know for as long as it is so. Programs find it in the results.
    pub(crate) fn warnings(self, warnings: &[StandingWarning]) {
        for warning in warnings {
            self.note(&format!("{} {}", "warning:".yellow().bold(), format::printable(&warning.message)));
        }
    }

    /// Shows a problem that does not end the command.
    pub(crate) fn problem(self, problem: &Problem) {
        write_error_stream(&match self.error_format() {
            ErrorFormat::Text => error::render_text(problem),
            ErrorFormat::Json => error::render_json(problem),
        });
    }

    /// Shows how the command ended.
    pub(crate) fn report(self, error: &CommandError) {
        write_error_stream(&error::report(error, self.error_format()));
    }

    fn error_format(self) -> ErrorFormat {
        match self.format {
            ResultFormat::Human => ErrorFormat::Text,
            ResultFormat::Json => ErrorFormat::Json,
        }
    }
}

/// Writes to standard error. When that fails there is nobody left to tell.
fn write_error_stream(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

//! What the process logs about itself: to standard error, which is `logs/daemon.log` for a daemon in the background.

use std::io::IsTerminal as _;

use orchestrator_core::config::daemon::LogFormat;
use tracing_subscriber::EnvFilter;

use crate::args::Globals;
use crate::env_vars;

/// Whose log it is; a daemon says more than a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The daemon.
    Daemon,
    /// Any other command.
    Command,
}

/// Begins to log. `ORCH_LOG` decides what, then `-v` and `--quiet`.
pub(crate) fn start(globals: &Globals, speaker: Speaker, format: LogFormat) {
    let filter = EnvFilter::try_new(directives(globals, speaker)).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = !globals.no_color && std::io::stderr().is_terminal() && env_vars::NO_COLOR.read().is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A line that cannot be written is lost. To say so on the same output panics, and a full disk would end tasks one by one.
    let builder = builder.log_internal_errors(false);
    // Only a second call in one process can fail, and the first one's choice is good.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(colours).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
}

fn directives(globals: &Globals, speaker: Speaker) -> String {
    if let Some(Ok(directives)) = env_vars::LOG.read().map(std::ffi::OsString::into_string) {
        return directives;
    }
    let level = match (speaker, globals.verbose, globals.quiet) {
        (_, _, true) => "error",
        (Speaker::Command, 0, false) => "off",
        (Speaker::Daemon, 0, false) | (Speaker::Command, 1, false) => "info",
        (Speaker::Daemon, 1, false) | (Speaker::Command, 2, false) => "debug",
        (_, _, false) => "trace",
    };
    // The levels are for our own words; the libraries beneath speak up at the loudest only.
    let others = if level == "trace" { "debug" } else { "warn" };
    let ours = ["orch", "orchestrator_core", "orchestrator_providers", "orchestrator_server", "orchestrator_toolcall"];
    if level == "off" {
        return level.to_owned();
    }
    ours.iter().fold(others.to_owned(), |text, name| format!("{text},{name}={level}"))
}

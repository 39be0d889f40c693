//! `orch completions`: completion scripts for shells.

use crate::args::{self, daemon::CompletionsArguments};
use crate::context::Context;
use crate::error::CommandError;

/// Prints the script for a shell.
pub(crate) fn run(context: &Context, arguments: &CompletionsArguments) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut args::command(), "orch", &mut script);
    context.output.text(&String::from_utf8_lossy(&script))
}

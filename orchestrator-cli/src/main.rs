//! The command `orch`: parses the command line, does what it says, and shows how that ended.
//!
//! The only crate that prints, or reads arguments, environment variables or the home directory.

#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts for people are short; `write!` into a text would hide them behind a result that cannot be an error"
)]

mod args;
mod chat;
mod commands;
mod context;
mod daemon_process;
mod env_vars;
mod error;
mod exit_code;
mod fetch;
mod follow;
mod home;
mod instance_for_model;
mod interrupt;
mod logging;
mod model_argument;
mod output;
mod progress;
mod provider_settings;
mod tool_call;
mod usage;

use std::process::ExitCode;

use args::{Arguments, Command};
use context::Context;
use error::CommandError;
use logging::Speaker;
use orchestrator_core::config::daemon::LogFormat;
use orchestrator_core::{ErrorCode, Problem};
use output::Output;

fn main() -> ExitCode {
    let arguments = match usage::parse() {
        Ok(arguments) => arguments,
        Err(exit_code) => return exit_code,
    };
    let output = Output::new(&arguments.globals);
    let result = run(arguments, output);
    if let Err(error) = &result {
        output.report(error);
    }
    exit_code::exit_code_of(&result)
}

fn run(arguments: Arguments, output: Output) -> Result<(), CommandError> {
    usage::refuse_idle_options(&arguments)?;
    // The daemon begins to log when it knows how.
    if !matches!(arguments.command, Command::Serve(_)) {
        logging::start(&arguments.globals, Speaker::Command, LogFormat::Text);
    }
    let context = Context::open(arguments.globals, output)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(ErrorCode::Internal, "could not start").with_cause(error.to_string()))?;
    let result = runtime.block_on(commands::run(&context, arguments.command));
    // A thread may still wait for a line of standard input; nobody else needs it.
    runtime.shutdown_background();
    result
}

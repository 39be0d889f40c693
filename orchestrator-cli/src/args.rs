//! The command line, as types. Nothing here acts: it only says what may be typed and explains it.
//!
//! The doc comments are the help texts. One file for each group of commands lies in `args/`. Help text is kept readable at 60 columns.

pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod env;
pub(crate) mod instance;
pub(crate) mod model;
pub(crate) mod tools;

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::env_vars;

/// Runs language models on this machine, dependably, behind
/// one endpoint.
#[derive(Debug, Parser)]
#[command(
    name = "orch",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
Examples:
  orch quickstart --keep
  orch init qwen --model file:models/qwen.gguf
  orch up qwen
  orch run qwen \"Why is the sky blue?\"
  orch ps

`orch COMMAND --help` explains a command and shows examples."
)]
pub(crate) struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[expect(clippy::doc_markdown, reason = "the doc comments are help texts, where backticks would stand as they are")]
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Keeps everything under this directory [env: ORCH_HOME]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "host")]
    pub(crate) home: Option<PathBuf>,
    /// Talks to a daemon elsewhere [env: ORCH_HOST]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) host: Option<String>,
    /// Prints JSON for programs; an error is one JSON object on
    /// standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Prints results and errors, and nothing else
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Says more about what happens; give it twice for more
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Prints no colours [env: NO_COLOR]
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// What `orch` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows the whole thing work: engine, model, chat
    Quickstart(instance::QuickstartArguments),
    /// Writes the configuration of a new instance
    Init(instance::InitArguments),
    /// Starts instances and waits until they are ready
    Up(instance::UpArguments),
    /// Stops instances
    Down(instance::DownArguments),
    /// Stops instances and starts them again
    Restart(instance::RestartArguments),
    /// Forgets instances, and puts their configurations aside
    Rm(instance::RmArguments),
    /// Lists the instances
    Ps(instance::PsArguments),
    /// Tells everything about an instance
    Describe(instance::DescribeArguments),
    /// Tells how well instances do, and why
    Health(instance::HealthArguments),
    /// Shows what the server of an instance printed
    Logs(instance::LogsArguments),
    /// Shows what happened
    Events(instance::EventsArguments),
    /// Chats with a model in the terminal
    Run(instance::RunArguments),
    /// Runs the daemon in the foreground
    Serve(daemon::ServeArguments),
    /// Starts, stops and shows the daemon
    #[command(subcommand)]
    Daemon(daemon::DaemonCommand),
    /// Checks configurations
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Finds, fetches, judges and switches models
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Judges tool calls, and tries them on a model
    #[command(subcommand)]
    Tools(tools::ToolsCommand),
    /// Builds and tests environments for engines
    #[command(subcommand)]
    Env(env::EnvCommand),
    /// Finds what is wrong on this machine, and the way out
    Doctor(daemon::DoctorArguments),
    /// Prints a completion script for a shell
    Completions(daemon::CompletionsArguments),
    /// Prints a reference page
    #[command(hide = true)]
    GenerateDocs(GenerateDocsArguments),
}

/// What `generate-docs` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct GenerateDocsArguments {
    /// Which page
    #[arg(value_enum, default_value = "commands")]
    pub(crate) page: ReferencePage,
}

/// A page that is written from the definitions in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReferencePage {
    /// The command line
    Commands,
    /// The metrics of the daemon
    Metrics,
}

/// Returns the whole command line, with the environment variables at the end of its help.
#[must_use]
pub(crate) fn command() -> clap::Command {
    let mut variables = String::from("Environment variables:\n");
    for variable in env_vars::ALL {
        variables.push_str(&format!("  {}\n      {}\n", variable.name, variable.documentation));
    }
    let command = Arguments::command();
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command.after_help(format!("{examples}\n\n{}", variables.trim_end()))
}

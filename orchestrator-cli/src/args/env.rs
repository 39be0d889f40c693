//! What may be typed after `orch env`.

use clap::{Args, Subcommand};
use orchestrator_core::EnvKey;

/// What may follow `orch env`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// Lists the environments there are recipes for
    #[command(after_help = "\
Examples:
  orch env ls
  orch env ls --json | jq '.[] | select(.installed)'")]
    Ls,
    /// Builds an environment
    #[command(after_help = "\
Examples:
  orch env create llama-cpp-cpu

Does nothing if the environment is there already. Ctrl-C
cancels the building and leaves nothing half done.")]
    Create(KeyArguments),
    /// Tests an installed environment
    #[command(after_help = "\
Examples:
  orch env test llama-cpp-cpu
  orch env test llama-cpp-cpu --json | jq .checks")]
    Test(KeyArguments),
    /// Removes an environment
    #[command(after_help = "\
Examples:
  orch env rm llama-cpp-cpu

Refused while an instance uses it.")]
    Rm(KeyArguments),
}

/// Which environment a command is for.
#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    /// The environment, as `orch env ls` shows it
    #[arg(value_name = "KEY")]
    pub(crate) key: EnvKey,
}

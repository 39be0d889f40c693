//! What may be typed after `orch config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What may follow `orch config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks that configurations can be used
    Validate(ValidateArguments),
    /// Looks for settings that are allowed but unwise
    #[command(after_help = "\
Examples:
  orch config lint
  orch config lint --json

Checks every configuration as `config validate` does, and
then tells what is allowed but probably not meant.")]
    Lint,
    /// Prints the JSON Schema of a configuration
    Schema(SchemaArguments),
}

/// What may follow `orch config validate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch config validate
      The configuration of the daemon and of every instance.
  orch config validate instances/qwen/config.yaml
  orch config validate --json | jq .problems

Exits with 0 if all is well, else with the code of the first
problem (10 to 19).")]
pub(crate) struct ValidateArguments {
    /// A configuration file; all of the home, when left out
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
}

/// What may follow `orch config schema`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch config schema > instance.schema.json
  orch config schema daemon

An editor that knows YAML schemas checks as you type.")]
pub(crate) struct SchemaArguments {
    /// Of which configuration
    #[arg(value_enum, default_value_t = SchemaArgument::Instance)]
    pub(crate) of: SchemaArgument,
}

/// The configurations that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaArgument {
    /// Of an instance
    Instance,
    /// Of the daemon
    Daemon,
}

//! What may be typed after `orch model`.

use clap::{Args, Subcommand};

/// What may follow `orch model`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Lists the models on this machine
    #[command(after_help = "\
Examples:
  orch model ls
  orch model ls --json | jq -r '.[].reference'

Shows the models of the store and those that instances use.")]
    Ls,
    /// Tells what is known about a model
    Info(InfoArguments),
}

/// What may follow `orch model info`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model info models/qwen3-8b-q4_k_m.gguf
  orch model info file:/models/qwen.gguf --json")]
pub(crate) struct InfoArguments {
    /// The model: a path or a reference
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

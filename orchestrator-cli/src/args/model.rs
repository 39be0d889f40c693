//! What may be typed after `orch model`.

use clap::{Args, Subcommand};
use orchestrator_core::InstanceName;

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
    /// Switches a runtime to another instance
    Activate(ActivateArguments),
}

/// What may follow `orch model activate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model activate mine
  orch model activate mine --json

The active instance of a runtime answers clients that ask
for the runtime's name, such as `llama_cpp`. The old one
finishes the requests it has (up to `limits.drain`) and
is stopped; new ones wait for the new one. If that does
not come up, the old one is started again.")]
pub(crate) struct ActivateArguments {
    /// The instance
    #[arg(value_name = "NAME")]
    pub(crate) instance: InstanceName,
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

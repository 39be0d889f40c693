//! What may be typed after `orch tools`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use orchestrator_core::InstanceName;

/// What may follow `orch tools`.
#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// Judges what a model wrote, without any model
    Parse(ParseArguments),
    /// Has a model call tools, and checks every call
    Smoke(SmokeArguments),
}

/// What may follow `orch tools parse`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch tools parse --tools tools.json < answer.txt
  orch tools parse --tools tools.json --jsonl < log.jsonl

The tools are a JSON list as OpenAI, Anthropic or MCP
describe them. The input is one text; with --jsonl it is one
`{\"text\": …}` a line. Each verdict is one line:
  {\"fidelity\",\"envelope\",\"edits\":[{\"kind\",\"start\",\"end\"}],
   \"errors\":[{\"pointer\",\"keyword\",\"expected\"}]}
A verdict without an envelope is a verdict, and no failure.")]
pub(crate) struct ParseArguments {
    /// The file that describes the tools
    #[arg(long, value_name = "FILE")]
    pub(crate) tools: PathBuf,
    /// Reads one JSON object a line
    #[arg(long)]
    pub(crate) jsonl: bool,
    /// How the generation of the texts ended
    #[arg(long, value_enum, default_value_t = FinishArgument::Stop)]
    pub(crate) finish: FinishArgument,
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FinishArgument {
    /// The model came to its end
    Stop,
    /// The limit of tokens cut it off
    Length,
}

/// What may follow `orch tools smoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch tools smoke qwen
  orch tools smoke qwen --count 200 --json

Asks through the gateway in strict mode, whatever the
configuration says, by turns streaming and not. Ends with 0
only if every call is valid and its arguments match the
schema of their tool.")]
pub(crate) struct SmokeArguments {
    /// The instance
    #[arg(value_name = "INSTANCE")]
    pub(crate) instance: InstanceName,
    /// How many calls to ask for
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
}

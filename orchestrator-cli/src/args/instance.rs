//! What may be typed after the commands that deal with instances.

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use orchestrator_core::InstanceName;
use orchestrator_server::api::LogQuery;

/// What may follow `orch quickstart`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch quickstart
      With a small demo model of random weights: its text
      is noise, its structure is not.
  orch quickstart --model models/qwen3-0.6b.gguf --keep
      With a real model, left running.
  orch quickstart --json

A model is a path, `file:/path/model.gguf`,
`hf:owner/repo[@revision][:file-or-quant]` or
`ollama:name[:tag]`.

Without --keep the instance is stopped at the end, and so is
the daemon if the command started it.")]
pub(crate) struct QuickstartArguments {
    /// The model: a path or a reference
    #[arg(long, value_name = "REF")]
    pub(crate) model: Option<String>,
    /// Leaves the instance and the daemon running
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What may follow `orch init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch init qwen --model models/qwen3-8b-q4_k_m.gguf
  orch init qwen --model file:/models/qwen.gguf \\
      --template cuda

A model is a path, `file:/path/model.gguf`,
`hf:owner/repo[@revision][:file-or-quant]` or
`ollama:name[:tag]`.

Writes `instances/NAME/config.yaml` with a comment at every
setting. An existing configuration is never overwritten.")]
pub(crate) struct InitArguments {
    /// The name of the new instance
    #[arg(value_name = "NAME")]
    pub(crate) name: InstanceName,
    /// The model: a path or a reference
    #[arg(long, value_name = "REF")]
    pub(crate) model: String,
    /// The kind of engine
    #[arg(long, value_enum, default_value_t = RuntimeArgument::LlamaCpp)]
    pub(crate) runtime: RuntimeArgument,
    /// The kind of device the settings are for
    #[arg(long, value_enum, default_value_t = TemplateArgument::Cpu)]
    pub(crate) template: TemplateArgument,
}

/// The kinds of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeArgument {
    /// llama.cpp's server
    #[value(name = "llama_cpp")]
    LlamaCpp,
}

/// The kinds of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TemplateArgument {
    /// The processor
    Cpu,
    /// Any GPU with a Vulkan driver
    Vulkan,
    /// NVIDIA GPUs
    Cuda,
    /// Apple GPUs
    Metal,
}

/// Which instances a command is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Selection {
    /// The instances
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<InstanceName>,
    /// All instances
    #[arg(long)]
    pub(crate) all: bool,
}

/// What may follow `orch up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch up qwen
  orch up qwen embedder
      Both at the same time.
  orch up --all --no-wait

Ctrl-C ends the waiting, not the start.")]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Returns as soon as the starts are accepted
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What may follow `orch down`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch down qwen
  orch down --all

Returns when nothing of the server is left. Exits with 27 if
the instance was not running.")]
pub(crate) struct DownArguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

/// What may follow `orch restart`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch restart qwen
  orch restart --all

An instance that is not running is started. A changed
configuration takes effect.")]
pub(crate) struct RestartArguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Returns as soon as the restarts are accepted
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What may follow `orch rm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch rm qwen
  orch rm --force qwen embedder

The configuration is put aside under `instances/.removed`, and
the state is forgotten. Logs, models and environments stay.")]
pub(crate) struct RmArguments {
    /// The instances
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<InstanceName>,
    /// Stops the instances first if they are running
    #[arg(long, short)]
    pub(crate) force: bool,
}

/// What may follow `orch ps`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch ps
  orch ps --json | jq -r '.[].name'

On a narrow terminal the less important columns are left out.
With --json each instance is an object with exactly the keys
name, pid, port, runtime, backend, device, model, state,
health, uptime_seconds, memory_mb, restarts.")]
pub(crate) struct PsArguments {}

/// What may follow `orch describe`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch describe qwen
  orch describe qwen --json | jq .spec.server

Shows the state and its reason, the settings with their
defaults, the model, the log files and the last events.")]
pub(crate) struct DescribeArguments {
    /// The instance
    #[arg(value_name = "NAME")]
    pub(crate) name: InstanceName,
}

/// What may follow `orch health`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch health
  orch health qwen && echo fine

Exits with 31 if an instance that should run is not healthy,
and with 27 if the one you name is not running.")]
pub(crate) struct HealthArguments {
    /// The instance; all of them, when it is left out
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<InstanceName>,
}

/// What may follow `orch logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch logs qwen
  orch logs qwen --tail 500 --stream stderr
  orch logs qwen --follow

With --json each line is an object with `stream` and `text`.")]
pub(crate) struct LogsArguments {
    /// The instance
    #[arg(value_name = "NAME")]
    pub(crate) name: InstanceName,
    /// How many of the last lines to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = number_of_lines())]
    pub(crate) tail: usize,
    /// Goes on with new lines as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Which output
    #[arg(long, value_enum, default_value_t = StreamArgument::Both)]
    pub(crate) stream: StreamArgument,
}

/// The outputs of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamArgument {
    /// Standard output
    Stdout,
    /// The error output
    Stderr,
    /// Both of them
    Both,
}

/// What may follow `orch events`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch events
  orch events --follow
  orch events --json | jq -r .message

With --json each event is an object on a line of its own.")]
pub(crate) struct EventsArguments {
    /// How many of the last events to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = number_of_lines())]
    pub(crate) tail: usize,
    /// Goes on with new events as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
}

/// What may follow `orch run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch run qwen \"Why is the sky blue?\"
  orch run models/qwen3-0.6b.gguf
      Makes an instance for the file, then chats.
  git diff | orch run qwen --system \"Review this change.\"

Without a prompt the lines you type are sent, and standard
input is the prompt when it is not a terminal. The instance
goes on running at the end.")]
pub(crate) struct RunArguments {
    /// The instance, or a model (a path or a reference)
    #[arg(value_name = "NAME|REF")]
    pub(crate) target: String,
    /// What to ask
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    /// What the model is told before the prompt
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// How many tokens an answer may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
}

/// Refuses at once what the daemon would refuse.
fn number_of_lines() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=LogQuery::LARGEST_TAIL as u64)
}

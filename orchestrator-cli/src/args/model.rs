//! What may be typed after `orch model`.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use orchestrator_core::InstanceName;
use orchestrator_core::memory::CacheType;
use orchestrator_server::api::{ProviderName, SearchQuery};

/// What may follow `orch model`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Finds models at their sources
    Search(SearchArguments),
    /// Fetches a model
    Pull(PullArguments),
    /// Lists the models on this machine
    #[command(after_help = "\
Examples:
  orch model ls
  orch model ls --json | jq -r '.[].reference'

Shows the models of the store, those of the caches of Hugging
Face and Ollama, and those that instances use.")]
    Ls,
    /// Tells what is known about a model
    Info(InfoArguments),
    /// Removes a model from this machine
    Rm(RmArguments),
    /// Registers a file or folder of this machine
    Import(ImportArguments),
    /// Removes models that no instance uses
    Prune(PruneArguments),
    /// Tells whether a model fits this machine
    Fit(FitArguments),
    /// Switches a runtime to another instance
    Activate(ActivateArguments),
    /// Tries a model from its source to a tool call
    Smoke(SmokeArguments),
}

/// What may follow `orch model search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model search qwen3
  orch model search \"qwen3 gguf\" --provider hf --limit 5
  orch model search --provider ollama
  orch model search gemma --json | jq -r '.models[].reference'")]
pub(crate) struct SearchArguments {
    /// Words; the most used models, when left out
    #[arg(value_name = "QUERY", default_value = "", hide_default_value = true)]
    pub(crate) query: String,
    /// Where to search; everywhere, when left out
    #[arg(long, value_enum)]
    pub(crate) provider: Option<ProviderArgument>,
    /// How many models of each provider at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = number_of_answers())]
    pub(crate) limit: usize,
}

/// Where models come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderArgument {
    /// The Hugging Face hub
    Hf,
    /// The Ollama library
    Ollama,
    /// This machine
    Local,
}

impl From<ProviderArgument> for ProviderName {
    fn from(argument: ProviderArgument) -> Self {
        match argument {
            ProviderArgument::Hf => Self::Hf,
            ProviderArgument::Ollama => Self::Ollama,
            ProviderArgument::Local => Self::Local,
        }
    }
}

/// What may follow `orch model pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model pull hf:Qwen/Qwen3-0.6B-GGUF
  orch model pull hf:bartowski/gemma-3-4b-it-GGUF:Q4_K_M
  orch model pull hf:owner/repo@v1.0:model-Q8_0.gguf --yes
  orch model pull ollama:qwen3:0.6b
  orch model pull hf:owner/repo --no-wait --json | jq -r .id

A model is `hf:owner/repo[@revision][:file-or-quant]` or
`ollama:name[:tag]`. `owner/repo` alone is taken for one of
Hugging Face.

Whatever is on this machine already is not fetched again.
Ctrl-C cancels; the same command goes on where it ended.")]
pub(crate) struct PullArguments {
    /// The model
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Agrees to its size, whatever it is
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Returns as soon as it has begun
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What may follow `orch model info`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model info models/qwen3-8b-q4_k_m.gguf
  orch model info hf:Qwen/Qwen3-0.6B-GGUF
  orch model info file:/models/qwen.gguf --json

Of a model that is not on this machine it tells what `orch
model pull` would fetch.")]
pub(crate) struct InfoArguments {
    /// The model: a path or a reference
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
}

/// What may follow `orch model rm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model rm hf:Qwen/Qwen3-0.6B-GGUF
  orch model rm ollama:qwen3:0.6b --force

Refused while an instance names it. Of a file that was
registered in place only the entry goes.")]
pub(crate) struct RmArguments {
    /// The model: a path or a reference
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Removes it although an instance names it
    #[arg(long, short)]
    pub(crate) force: bool,
}

/// What may follow `orch model import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model import models/qwen3-8b-q4_k_m.gguf
  orch model import /data/gemma-3-4b-it
  orch model import /media/usb/model.gguf --copy

The path is a GGUF file (the first of several for a split
one) or a folder with safetensors. It stays where it is
unless --copy is given.")]
pub(crate) struct ImportArguments {
    /// The file or folder
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Copies it into the store
    #[arg(long)]
    pub(crate) copy: bool,
}

/// What may follow `orch model prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model prune --dry-run
  orch model prune --to 100GB
  orch model prune --keep hf:Qwen/Qwen3-0.6B-GGUF

Models that instances name stay, and so do files that lie
where you put them. The longest unused go first.")]
pub(crate) struct PruneArguments {
    /// Only tells what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Stops when the models take no more than this
    #[arg(long, value_name = "SIZE")]
    pub(crate) to: Option<SizeArgument>,
    /// Keeps this model too; may be given several times
    #[arg(long, value_name = "REF")]
    pub(crate) keep: Vec<String>,
}

/// What may follow `orch model fit`.
#[expect(clippy::doc_markdown, reason = "the doc comments are help texts, where backticks would stand as they are")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model fit hf:Qwen/Qwen3-8B-GGUF:Q4_K_M
  orch model fit models/qwen.gguf --context 32768
  orch model fit ollama:qwen3 --kv q8_0 --parallel 4
  orch model fit hf:owner/repo --gpu none --json

Nothing is fetched but the header of the weights. Exits with
39 if the model does not fit.")]
pub(crate) struct FitArguments {
    /// The model: a path or a reference
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// How many tokens the context holds
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<NonZeroU32>,
    /// How many requests are answered at once
    #[arg(long, value_name = "N")]
    pub(crate) parallel: Option<NonZeroU16>,
    /// How the cache is stored: f16, bf16, q8_0, q4_0, …
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub(crate) kv: CacheType,
    /// The device: auto, none, or its index
    #[arg(long, value_name = "GPU", default_value = "auto")]
    pub(crate) gpu: GpuArgument,
}

/// Which device a model is to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GpuArgument {
    /// The best there is.
    Auto,
    /// The processor alone.
    None,
    /// The one with this number.
    Index(u32),
}

impl FromStr for GpuArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            number => number.parse().map(Self::Index).map_err(|_| "give `auto`, `none` or the index of a device"),
        }
    }
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

/// What may follow `orch model smoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch model smoke hf:Qwen/Qwen3-0.6B-GGUF
  orch model smoke models/qwen.gguf --keep
  orch model smoke ollama:qwen3:0.6b --json

Fetches the model if it is missing, starts an instance of
its own for it, tries what the model can do (chat, a strict
tool call, embeddings or a ranking), and removes the instance.
Exits with 0 if all that was tried went well.")]
pub(crate) struct SmokeArguments {
    /// The model: a path or a reference
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Leaves the instance running
    #[arg(long)]
    pub(crate) keep: bool,
    /// Agrees to its size, whatever it is
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// A size as people type it: `100GB`, `1.5 TB`, `512MiB`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeArgument(pub(crate) u64);

impl FromStr for SizeArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const REFUSED: &str = "write it like `100GB`, `1.5TB` or `512MiB`";
        let text = text.trim();
        let split = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = (text[..split].trim(), text[split..].to_ascii_lowercase());
        let (base, power): (f64, i32) = match unit.as_str() {
            "" | "b" => (1.0, 0),
            "k" | "kb" => (1_000.0, 1),
            "m" | "mb" => (1_000.0, 2),
            "g" | "gb" => (1_000.0, 3),
            "t" | "tb" => (1_000.0, 4),
            "kib" => (1_024.0, 1),
            "mib" => (1_024.0, 2),
            "gib" => (1_024.0, 3),
            "tib" => (1_024.0, 4),
            _ => return Err(REFUSED),
        };
        let value: f64 = number.parse().map_err(|_| REFUSED)?;
        let bytes = value * base.powi(power);
        if !bytes.is_finite() || !(0.0..1e18).contains(&bytes) {
            return Err(REFUSED);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was just found to lie between 0 and 10¹⁸")]
        Ok(Self(bytes.round() as u64))
    }
}

/// Refuses at once what the daemon would cut.
fn number_of_answers() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=SearchQuery::LARGEST_LIMIT as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_may_be_written_in_many_ways() {
        for (text, expected) in [
            ("0", 0),
            ("512", 512),
            ("1.5TB", 1_500_000_000_000),
            ("100 gb", 100_000_000_000),
            ("100G", 100_000_000_000),
            ("2MiB", 2 * 1024 * 1024),
        ] {
            assert_eq!(text.parse(), Ok(SizeArgument(expected)), "{text}");
        }
        for text in ["", "GB", "x", "1XB", "-1GB", "1e300TB", "inf", "nan", "1 2GB", "1GB2"] {
            assert!(text.parse::<SizeArgument>().is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn a_device_is_automatic_none_or_numbered() {
        assert_eq!("auto".parse(), Ok(GpuArgument::Auto));
        assert_eq!("none".parse(), Ok(GpuArgument::None));
        assert_eq!("1".parse(), Ok(GpuArgument::Index(1)));
        assert!("-1".parse::<GpuArgument>().is_err() && "cuda".parse::<GpuArgument>().is_err());
    }
}

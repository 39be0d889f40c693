//! `cargo xtask bench`: numbers for `docs/measurements.md`, each from one run on this machine.
//!
//! Only ratios measured side by side mean much: machines drift. What is compared is measured in turns (A B A B …).

mod client;
mod daemon;
mod download;
mod first_token;
mod fit;
mod gateway;
mod home;
mod http;
mod llama;
mod nginx;
mod process;
mod quickstart;
mod statistics;
mod swap;
mod table;
mod toolcall;

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::shell::{TaskResult, call, cargo, output, target_dir};

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// A clean release build of `orch`: seconds and crates.
    Build,
    /// `orch quickstart` with an empty home, and again.
    Quickstart,
    /// The daemon's start, its memory when idle, how soon a crashed engine runs again, how fast it remembers.
    Daemon,
    /// What the gateway adds to requests and streams, beside nginx.
    Gateway,
    /// The time to the first token of the real llama.cpp, through us and asked directly.
    FirstToken,
    /// How long it takes until another model answers, beside llama.cpp's own router.
    Swap,
    /// What models take of memory: our estimates beside the real llama.cpp.
    Fit,
    /// Fetching a model from a hub on this machine, beside curl and Python; what is fetched again after a kill.
    Download,
    /// Reading damaged tool calls: ours beside three others, in turns, speed and correctness.
    Toolcall,
}

/// How many times what is compared takes turns.
const ROUNDS: usize = 21;

pub(crate) fn run(what: Bench) -> TaskResult {
    match what {
        Bench::Build => build(),
        Bench::Quickstart => quickstart::run(),
        Bench::Daemon => daemon::run(),
        Bench::Gateway => gateway::run(),
        Bench::FirstToken => first_token::run(),
        Bench::Swap => swap::run(),
        Bench::Fit => fit::run(),
        Bench::Download => download::run(),
        Bench::Toolcall => toolcall::run(),
    }
}

/// Builds what the other measurements use.
pub(crate) fn build_release() -> TaskResult {
    call(&mut cargo(&["build", "--release", "--quiet", "--locked", "-p", "orchestrator-cli", "-p", "orchestrator-tests", "--bins"]))
}

fn build() -> TaskResult {
    let folder = target_dir().join("bench-build");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("could not empty `{}`: {error}", folder.display()))?;
    }
    call(&mut cargo(&["fetch", "--locked"]))?;
    let begun = Instant::now();
    call(cargo(&["build", "--release", "--quiet", "--locked", "--bin", "orch"]).env("CARGO_TARGET_DIR", &folder))?;
    let took = begun.elapsed();
    let tree = output(&mut cargo(&["tree", "--locked", "-p", "orchestrator-cli", "--prefix", "none", "--edges", "normal,build"]))?;
    let mut crates: Vec<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    crates.sort_unstable();
    crates.dedup();
    println!("clean release build of `orch`: {:.0} s, {} crates", took.as_secs_f64(), crates.len());
    Ok(())
}

/// Returns the value below which this part of the samples lies.
pub(crate) fn quantile(samples: &mut [Duration], part: f64) -> Duration {
    samples.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index into a small list")]
    let index = ((samples.len().saturating_sub(1)) as f64 * part).round() as usize;
    samples.get(index).copied().unwrap_or_default()
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

//! `cargo xtask faults`: the fault table against the real daemon. The rounds themselves are in the tests' crate, which
//! has the engines that misbehave; here they are built and called.

use clap::Args;

use crate::shell::{TaskResult, call, cargo, command, target_dir};

/// What to try, and how often.
#[derive(Args)]
pub(crate) struct FaultsArguments {
    /// The rows of the table; all of them, when none is named.
    rows: Vec<u8>,
    /// How often each is tried; as often as a full run does, when it is left out.
    #[arg(long)]
    count: Option<u32>,
    /// The seed of the first round; another one each time, when it is left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Try the release build, whose times are the ones that count.
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(arguments: &FaultsArguments) -> TaskResult {
    let (profile, folder) = if arguments.release { (&["--release"][..], "release") } else { (&[][..], "debug") };
    call(cargo(&["build", "--quiet", "--locked", "-p", "orchestrator-cli", "-p", "orchestrator-tests", "--bins"]).args(profile))?;
    let mut faults = command(target_dir().join(folder).join("orchestrator-faults"));
    faults.args(arguments.rows.iter().map(u8::to_string)).env("RUST_BACKTRACE", "0");
    for (name, value) in [("--count", arguments.count.map(u64::from)), ("--seed", arguments.seed)] {
        if let Some(value) = value {
            faults.arg(name).arg(value.to_string());
        }
    }
    call(&mut faults)
}

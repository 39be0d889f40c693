//! `cargo xtask faults`: the fault table against the real daemon. The rounds themselves are in the tests' crate, which
//! has the engines that misbehave; here they are built and called. The scheduler's simulation is a test of the core.

use std::time::{SystemTime, UNIX_EPOCH};

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

/// The row that needs no daemon: the scheduler's policy under simulated time, a test of the core.
const SIMULATION: u8 = 25;

pub(crate) fn run(arguments: &FaultsArguments) -> TaskResult {
    let is_simulated = arguments.rows.is_empty() || arguments.rows.contains(&SIMULATION);
    let others: Vec<u8> = arguments.rows.iter().copied().filter(|row| *row != SIMULATION).collect();
    if arguments.rows.is_empty() || !others.is_empty() {
        against_the_daemon(arguments, &others)?;
    }
    if is_simulated { simulate(arguments) } else { Ok(()) }
}

fn simulate(arguments: &FaultsArguments) -> TaskResult {
    let mut test = cargo(&["test", "--quiet", "--locked", "-p", "orchestrator-core", "--lib"]);
    if arguments.release {
        test.arg("--release");
    }
    test.args(["scheduler::policy::tests::simulation", "--", "--nocapture"]);
    let seed = arguments.seed.or_else(|| Some(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs()));
    for (name, value) in [("ORCH_SIMULATION_SEEDS", arguments.count.map(u64::from)), ("ORCH_SIMULATION_SEED", seed)] {
        if let Some(value) = value {
            test.env(name, value.to_string());
        }
    }
    call(&mut test)
}

fn against_the_daemon(arguments: &FaultsArguments, rows: &[u8]) -> TaskResult {
    let (profile, folder) = if arguments.release { (&["--release"][..], "release") } else { (&[][..], "debug") };
    call(cargo(&["build", "--quiet", "--locked", "-p", "orchestrator-cli", "-p", "orchestrator-tests", "--bins"]).args(profile))?;
    let mut faults = command(target_dir().join(folder).join("orchestrator-faults"));
    faults.args(rows.iter().map(u8::to_string)).env("RUST_BACKTRACE", "0");
    for (name, value) in [("--count", arguments.count.map(u64::from)), ("--seed", arguments.seed)] {
        if let Some(value) = value {
            faults.arg(name).arg(value.to_string());
        }
    }
    call(&mut faults)
}

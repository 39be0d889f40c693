//! The daemon by itself: its start, its memory, how fast it starts again what crashed, how fast it remembers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::gateway::demo_model;
use super::home::BenchHome;
use super::statistics::median;
use super::table::{self, Target};
use super::{ROUNDS, millis, process, quantile};
use crate::shell::{TaskResult, output, target_dir};

/// How often an engine is killed.
const CRASHES: usize = 100;
/// How long a daemon is left in peace before its memory is looked at.
const SETTLING: Duration = Duration::from_millis(150);
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn run() -> TaskResult {
    super::build_release()?;
    let mut starts = Starts::default();
    let home = filled_home()?;
    for _ in 0..ROUNDS {
        starts.take_turn(&home)?;
    }
    let mut restarts = restarts()?;
    let store = store(home.path())?;

    println!("\n{ROUNDS} rounds; medians.");
    table::head("floor");
    let (mut ready, mut bare) = (starts.ready, starts.bare);
    table::alone(
        "9",
        "exec to first answer, 1,000 rows of state, after a kill; median",
        millis(quantile(&mut ready, 0.5)),
        "ms",
        Target::AtMost(15.0),
    );
    table::note(
        "9",
        "the same, worst; the floor is `orch --version`",
        millis(quantile(&mut ready, 1.0)),
        Some(millis(quantile(&mut bare, 0.5))),
        "ms",
    );
    table::alone(
        "8",
        "resident memory when idle",
        median(&starts.resident) / 1024.0,
        "MiB",
        Target::AtMost(10.0 * 1e6 / f64::from(1 << 20)),
    );
    table::note("8", "of it its own, the rest is the program's file", median(&starts.anonymous) / 1024.0, None, "MiB");
    table::alone("11", "kill of an engine to the start of the next; p99", millis(quantile(&mut restarts, 0.99)), "ms", Target::AtMost(5.0));
    table::note("11", "the same, median", millis(quantile(&mut restarts, 0.5)), None, "ms");
    table::compared("13", "a durable change; the floor is one write and sync", &store.change_us, &store.sync_us, "µs", Target::AtMost(1.2));
    table::alone("13", "durable changes, 512 at a time", median(&store.changes_per_second), "/s", Target::AtLeast(10_000.0));
    Ok(())
}

/// Makes a home with 1,000 rows of state.
fn filled_home() -> TaskResult<BenchHome> {
    let home = BenchHome::new()?;
    let mut daemon = home.serve()?;
    daemon.ready_after()?;
    daemon.stop()?;
    store_tool(&["fill", &home.path().join("state").join("orchestrator.sqlite").to_string_lossy()])?;
    Ok(home)
}

/// What every start told.
#[derive(Default)]
struct Starts {
    ready: Vec<Duration>,
    /// How long the program takes to say its version: what no start can be faster than.
    bare: Vec<Duration>,
    resident: Vec<f64>,
    anonymous: Vec<f64>,
}

impl Starts {
    fn take_turn(&mut self, home: &BenchHome) -> TaskResult {
        let begun = Instant::now();
        let version = home.orch(&["--version"]).stdout(Stdio::null()).status();
        version.map_err(|error| format!("could not run orch: {error}"))?;
        self.bare.push(begun.elapsed());
        let mut daemon = home.serve()?;
        self.ready.push(daemon.ready_after()?);
        std::thread::sleep(SETTLING);
        let memory = process::memory(daemon.pid())?;
        self.resident.push(memory.resident);
        self.anonymous.push(memory.anonymous);
        daemon.stop()
    }
}

/// Kills an engine again and again; returns how long it took from the kill to the first words of the next one.
fn restarts() -> TaskResult<Vec<Duration>> {
    let home = BenchHome::new()?;
    let notes = home.path().join("starts");
    let behaviour = serde_json::json!({ "starts_file": notes });
    let config = serde_json::json!({
        "name": "bench",
        "model": { "path": demo_model(&home)? },
        "engine": { "binary": target_dir().join("release").join("fake-llama-server") },
        "env": { "FAKE_ENGINE": behaviour.to_string() },
        "restart_policy": { "initial_delay": 0, "max_retries": 1_000_000, "reset_after": 0 },
    });
    home.add("bench", &config)?;
    let mut daemon = home.serve()?;
    daemon.ready_after()?;
    home.orch_json(&["up", "bench"])?;
    let mut took = Vec::new();
    let mut seen = starts_in(&notes);
    for _ in 0..CRASHES {
        let Some((pid, _)) = seen.last() else { return Err("the engine told nothing of its start".to_owned()) };
        // A kill says nothing of an engine that is not up yet.
        wait_until(|| home.row("bench").is_ok_and(|row| row["state"] == "ready" && row["pid"] == *pid))?;
        let killed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        status.map_err(|error| format!("could not kill the engine: {error}"))?;
        let before = seen.len();
        wait_until(|| {
            seen = starts_in(&notes);
            seen.len() > before
        })?;
        took.extend(seen.get(before).map(|(_, at)| at.saturating_sub(killed)));
    }
    Ok(took)
}

/// Returns the process id and the time of each start that an engine noted.
fn starts_in(notes: &Path) -> Vec<(u32, Duration)> {
    let text = fs::read_to_string(notes).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (pid, at) = line.split_once(' ')?;
            Some((pid.parse().ok()?, Duration::from_micros(at.parse().ok()?)))
        })
        .collect()
}

fn wait_until(mut condition: impl FnMut() -> bool) -> TaskResult {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if condition() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err("what was waited for did not come in time".to_owned())
}

#[derive(Deserialize)]
struct StoreTimes {
    change_us: Vec<f64>,
    sync_us: Vec<f64>,
    changes_per_second: Vec<f64>,
}

fn store(folder: &Path) -> TaskResult<StoreTimes> {
    // On the disk of the home, in a file of its own.
    let told = store_tool(&["measure", &folder.join("measured.sqlite").to_string_lossy(), &ROUNDS.to_string()])?;
    serde_json::from_str(&told).map_err(|error| format!("bench-store told nothing readable: {error}"))
}

fn store_tool(arguments: &[&str]) -> TaskResult<String> {
    output(Command::new(target_dir().join("release").join("bench-store")).args(arguments))
}

//! How long it takes until another model answers: ours, the same engine stopped and started by hand, and llama.cpp's
//! own router, in turns. All with the real llama.cpp, room for one model, and two models.

use std::time::Instant;

use super::home::BenchHome;
use super::llama::{Llama, RunningLlama};
use super::statistics::median;
use super::table::{self, Target};
use super::{ROUNDS, first_token, http, nginx};
use crate::shell::TaskResult;

const NAMES: [&str; 2] = ["first", "second"];

pub(crate) fn run() -> TaskResult {
    super::build_release()?;
    let llama = Llama::prepare()?;
    let home = BenchHome::new()?;
    home.configure("gateway:\n  port: 0\nlimits:\n  max_running: 1\n")?;
    for name in NAMES {
        home.add(name, &first_token::configuration(&llama, &home, name)?)?;
    }
    let mut daemon = home.serve()?;
    daemon.ready_after()?;
    let ours = home.address()?;
    let models = home.path().join("models");
    let folder = models.to_string_lossy().into_owned();
    let mut router_arguments = vec!["--models-dir", &folder, "--models-max", "1"];
    router_arguments.extend(SETTINGS);
    let router = llama.start(free_port()?, &router_arguments)?;
    // Each way has one model loaded before it is asked for the other.
    ask(&ours, NAMES[0])?;
    ask(&router.address, NAMES[0])?;
    let file = |name: &str| models.join(format!("{name}.gguf")).to_string_lossy().into_owned();
    let start = |name: &str| -> TaskResult<RunningLlama> {
        let file = file(name);
        let mut arguments = vec!["--model", &file, "--alias", name];
        arguments.extend(SETTINGS);
        llama.start(free_port()?, &arguments)
    };
    let mut by_hand = start(NAMES[0])?;
    ask(&by_hand.address, NAMES[0])?;
    let (mut ours_ms, mut hand_ms, mut router_ms) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let name = NAMES[round % 2];
        ours_ms.push(swap(&ours, name)?);
        let begun = Instant::now();
        by_hand.stop()?;
        by_hand = start(name)?;
        hand_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        // An engine that has served ends more slowly than one that has not.
        ask(&by_hand.address, name)?;
        router_ms.push(swap(&router.address, name)?);
        eprint!("\rround {round} of {ROUNDS}");
    }
    eprintln!();
    println!(
        "\n{ROUNDS} rounds in turns; medians. From a request for the other model to its answer, less what the same request takes when its model is loaded."
    );
    table::head("the other");
    table::compared(
        "10",
        "swap; the other: old engine's exit + new engine's ready, by hand",
        &ours_ms,
        &hand_ms,
        "ms",
        Target::AtMost(1.05),
    );
    table::compared("10", "llama.cpp's router ÷ ours", &router_ms, &ours_ms, "ms", Target::AtLeast(3.0));
    Ok(())
}

/// What our launch plan sets, for those that are started without us.
const SETTINGS: [&str; 16] = [
    "--timeout",
    "600",
    "--parallel",
    "1",
    "--ctx-size",
    "2048",
    "--threads",
    "1",
    "--fit",
    "off",
    "--cache-ram",
    "256",
    "--device",
    "none",
    "--metrics",
    "--jinja",
];

pub(super) fn free_port() -> TaskResult<u16> {
    let address = nginx::free_address()?;
    address.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or_else(|| format!("`{address}` has no port"))
}

/// Asks for a model that is not loaded; returns by how many milliseconds that took longer than asking again.
fn swap(address: &str, name: &str) -> TaskResult<f64> {
    let cold = ask(address, name)?;
    let warm = [ask(address, name)?, ask(address, name)?, ask(address, name)?];
    Ok(cold - median(&warm))
}

fn ask(address: &str, name: &str) -> TaskResult<f64> {
    let body = serde_json::json!({ "model": name, "messages": [{ "role": "user", "content": "Hello" }], "max_tokens": 1 });
    let begun = Instant::now();
    http::post(address, "/v1/chat/completions", &body.to_string())?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

//! The time to the first token of the real llama.cpp: asked directly and through us, in turns.

use orchestrator_core::model::demo::{DemoModel, write_demo_model};

use super::home::BenchHome;
use super::llama::Llama;
use super::statistics::median;
use super::table::{self, Target};
use super::{ROUNDS, client};
use crate::shell::TaskResult;

/// Requests of one turn.
const REQUESTS: usize = 3;

/// A model that works for some tens of milliseconds at the prompt below, as real ones do for longer.
pub(crate) fn model() -> DemoModel {
    DemoModel { embedding_length: 512, block_count: 8, feed_forward_length: 1_536, head_count: 8, head_count_kv: 4, ..DemoModel::default() }
}

/// Returns the configuration of an instance of the real llama.cpp.
pub(crate) fn configuration(llama: &Llama, home: &BenchHome, name: &str) -> TaskResult<serde_json::Value> {
    let file = home.path().join("models").join(format!("{name}.gguf"));
    home.write("models/README", "models of a measurement\n")?;
    write_demo_model(&file, &model()).map_err(|error| format!("could not write the demo model: {error}"))?;
    Ok(serde_json::json!({
        "name": name,
        "model": { "path": file, "context_size": 2_048, "threads": 1 },
        "engine": { "binary": llama.program() },
        "env": llama.variables(),
    }))
}

pub(crate) fn run() -> TaskResult {
    super::build_release()?;
    let llama = Llama::prepare()?;
    let home = BenchHome::new()?;
    home.add("real", &configuration(&llama, &home, "real")?)?;
    let mut daemon = home.serve()?;
    daemon.ready_after()?;
    home.orch_json(&["up", "real"])?;
    let (through, direct) = (home.address()?, format!("127.0.0.1:{}", home.row("real")?["port"]));
    let prompt = "Tell me how a bridge carries a road over a river, and why. ".repeat(3);
    let body = serde_json::json!({
        "model": "real", "messages": [{ "role": "user", "content": prompt }], "stream": true, "max_tokens": 2, "cache_prompt": false,
    });
    home.write("body.json", &body.to_string())?;
    let body = home.path().join("body.json");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        for turn in 0..2 {
            let is_ours = (round + turn) % 2 == 0;
            let mut times = Vec::new();
            for _ in 0..REQUESTS {
                times.push(client::first(if is_ours { &through } else { &direct }, &body)?.first_ms);
            }
            // The first round warms up.
            if round > 0 {
                if is_ours { &mut ours } else { &mut theirs }.push(median(&times));
            }
        }
    }
    table::head("directly");
    table::compared("7", "time to the first token, real llama.cpp", &ours, &theirs, "ms", Target::AtMost(1.01));
    Ok(())
}

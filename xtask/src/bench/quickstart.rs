//! How long the first command of the README takes: with an empty home, and again.

use std::time::Instant;

use super::home::BenchHome;
use crate::shell::TaskResult;

pub(crate) fn run() -> TaskResult {
    super::build_release()?;
    let home = BenchHome::new()?;
    for what in ["cold (empty home, empty caches)", "warm", "warm, again"] {
        let begun = Instant::now();
        let result = home.orch_json(&["quickstart"])?;
        let engine = result["engine_version"].as_str().unwrap_or("?");
        println!("quickstart, {what}: {:.1} s; engine {engine} ready after {} ms", begun.elapsed().as_secs_f64(), result["ready_ms"]);
    }
    Ok(())
}

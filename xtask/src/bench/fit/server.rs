//! What the real server says it takes.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use orchestrator_core::memory::MemoryShare;

use super::cases::Case;
use crate::bench::llama::Llama;
use crate::shell::{TaskResult, target_dir};

const DEADLINE: Duration = Duration::from_mins(1);
const MIB: f64 = 1024.0 * 1024.0;

/// The sizes of a server's buffers, in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buffers {
    pub(crate) weights: f64,
    pub(crate) cache: f64,
    pub(crate) compute: f64,
    pub(crate) output: f64,
    /// How many buffers the weights are in: each is printed with two digits.
    pub(crate) weight_parts: u32,
}

impl Buffers {
    /// Returns what we estimate.
    pub(crate) fn estimated(share: &MemoryShare) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "bytes of a machine's memory")]
        let mib = |bytes: u64| bytes as f64 / MIB;
        Self {
            weights: mib(share.weights_bytes),
            cache: mib(share.all_caches()),
            compute: mib(share.compute_bytes),
            output: mib(share.output_bytes),
            weight_parts: 1,
        }
    }

    pub(crate) fn total(&self) -> f64 {
        self.weights + self.cache + self.compute + self.output
    }

    /// Returns how far the total is above another, in percent.
    pub(crate) fn off_by(&self, other: &Self) -> f64 {
        (self.total() / other.total() - 1.0) * 100.0
    }

    /// Reads what a server printed.
    fn printed(text: &str) -> Self {
        let mut buffers = Self::default();
        for line in text.lines() {
            let Some((before, size)) = line.split_once(" buffer size =") else { continue };
            let size: f64 = size.trim().trim_end_matches(" MiB").parse().unwrap_or(0.0);
            match before.rsplit(' ').next() {
                Some("model") => {
                    buffers.weights += size;
                    buffers.weight_parts += 1;
                }
                Some("KV" | "RS") => buffers.cache += size,
                Some("compute") => buffers.compute += size,
                Some("output") => buffers.output += size,
                _ => {}
            }
        }
        buffers
    }
}

/// Starts a server with a model and reads what it prints until it has all its memory.
pub(crate) fn ask(llama: &Llama, file: &Path, case: &Case) -> TaskResult<Buffers> {
    let printed = target_dir().join("bench-fit.log");
    let failed = |error: std::io::Error| format!("could not run llama-server: {error}");
    let output = File::create(&printed).map_err(failed)?;
    let mut command = llama.command(crate::bench::swap::free_port()?);
    command.arg("--model").arg(file).args(case.arguments());
    command.args(["--fit", "off", "--no-warmup", "--cache-ram", "0", "--threads", "1", "-lv", "4"]);
    command.stdin(Stdio::null()).stderr(output.try_clone().map_err(failed)?).stdout(output);
    let mut child = command.spawn().map_err(failed)?;
    let begun = Instant::now();
    // It is the last that is said of memory.
    let is_done = |text: &str| text.contains(" compute buffer size =");
    let mut text = String::new();
    while begun.elapsed() < DEADLINE && !is_done(&text) && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
        text = String::from_utf8_lossy(&fs::read(&printed).map_err(failed)?).into_owned();
    }
    let _ = child.kill();
    let _ = child.wait();
    if is_done(&text) {
        return Ok(Buffers::printed(&text));
    }
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    Err(format!("llama-server did not load {} ({}): {}", case.shape.name, case.shown(), last.join(" / ")))
}

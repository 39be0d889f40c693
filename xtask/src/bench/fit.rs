//! `cargo xtask bench fit`: our estimate of a model's memory beside what the real llama.cpp server says it takes.
//!
//! Models of many shapes are made on the spot, as large as real ones: their files have a header and holes, and a server that
//! maps them reads none of it. It prints the size of each of its buffers.

mod cases;
#[cfg(test)]
mod recorded;
mod server;
mod shape;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use orchestrator_core::memory::{LoadSettings, estimate};
use orchestrator_core::model::ModelHeader;
use orchestrator_core::model::gguf::GgufHeader;

use super::llama::Llama;
use super::quantile;
use crate::shell::{TaskResult, target_dir};
use cases::Case;
use server::Buffers;
use shape::Shape;

/// What a buffer may be off by and still be exact: the server prints hundredths of a MiB, of each buffer.
const PRINTED: f64 = 0.02;
/// How far the total may be above what the server says, and below it, in percent.
const ABOVE: f64 = 2.0;
const BELOW: f64 = -1.0;
/// How long an estimate may take.
const LONGEST: Duration = Duration::from_millis(5);

pub(crate) fn run() -> TaskResult {
    let llama = Llama::prepare()?;
    let file = target_dir().join("bench-fit.gguf");
    let mut tally = Tally::default();
    time_an_estimate(&file)?;
    println!("\nMiB: ours / the server's. Weights and cache are to be exact, the total is to be within -1 % and +2 %.\n");
    println!("| model | settings | weights | cache | compute | output | total | off by |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for case in cases::all() {
        let header = write(&case.shape, &file)?;
        let ours = Buffers::estimated(&estimate(&header, &case.settings).host);
        let theirs = server::ask(&llama, &file, &case)?;
        tally.add(&case, ours, theirs);
    }
    let _ = std::fs::remove_file(&file);
    tally.print();
    Ok(())
}

/// Writes a model's file, which takes no room on the disk, and reads it back.
fn write(shape: &Shape, file: &Path) -> TaskResult<ModelHeader> {
    let failed = |error: std::io::Error| format!("could not write `{}`: {error}", file.display());
    let writer = shape.writer().map_err(failed)?;
    let mut output = File::create(file).map_err(failed)?;
    output.write_all(&writer.header_bytes().map_err(failed)?).map_err(failed)?;
    output.set_len(writer.file_bytes().map_err(failed)?).map_err(failed)?;
    GgufHeader::read(file).map(ModelHeader::from).map_err(|error| format!("`{}` is no model: {error}", file.display()))
}

/// What was found over all cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    inexact: usize,
    missed: usize,
    worst_above: f64,
    worst_below: f64,
}

impl Tally {
    fn add(&mut self, case: &Case, ours: Buffers, theirs: Buffers) {
        let off = ours.off_by(&theirs);
        let is_exact = (ours.weights - theirs.weights).abs() <= PRINTED * f64::from(theirs.weight_parts)
            && (ours.cache - theirs.cache).abs() <= PRINTED;
        self.cases += 1;
        self.inexact += usize::from(!is_exact);
        self.missed += usize::from(!(BELOW..=ABOVE).contains(&off));
        self.worst_above = self.worst_above.max(off);
        self.worst_below = self.worst_below.min(off);
        println!(
            "| {} | {} | {:.2} / {:.2} | {:.2} / {:.2} | {:.2} / {:.2} | {:.2} / {:.2} | {:.2} / {:.2} | {off:+.2} % |",
            case.shape.name,
            case.shown(),
            ours.weights,
            theirs.weights,
            ours.cache,
            theirs.cache,
            ours.compute,
            theirs.compute,
            ours.output,
            theirs.output,
            ours.total(),
            theirs.total(),
        );
    }

    fn print(&self) {
        println!(
            "\n{} cases; weights and cache exact in all but {}; total off by {:+.2} % to {:+.2} %, outside of the goal in {}.",
            self.cases, self.inexact, self.worst_below, self.worst_above, self.missed
        );
    }
}

/// Reads the header of a model of a usual size, with a vocabulary of 152,000, and estimates, again and again.
fn time_an_estimate(file: &Path) -> TaskResult {
    const ROUNDS: usize = 101;
    let shape = cases::qwen3_8b();
    let header = write(&shape, file)?;
    let settings = LoadSettings::default();
    let mut reading = Vec::new();
    let mut estimating = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let read = GgufHeader::read(file).map_err(|error| error.to_string())?;
        reading.push(begun.elapsed());
        drop(read);
        let begun = Instant::now();
        std::hint::black_box(estimate(std::hint::black_box(&header), &settings));
        estimating.push(begun.elapsed());
    }
    let _ = std::fs::remove_file(file);
    let micros = |samples: &mut Vec<Duration>| quantile(samples, 0.5).as_secs_f64() * 1e6;
    let took = quantile(&mut reading, 0.5) + quantile(&mut estimating, 0.5);
    println!(
        "{}: header read in {:.0} µs, estimated in {:.0} µs (medians of {ROUNDS}, {}); goal {} ms: {}",
        shape.name,
        micros(&mut reading),
        micros(&mut estimating),
        if cfg!(debug_assertions) { "debug build" } else { "release build" },
        LONGEST.as_millis(),
        if took <= LONGEST { "holds" } else { "**missed**" },
    );
    Ok(())
}

//! Reading what models write as tool calls: ours beside `json_repair`, `jsonrepair` for Node and `jsonrepair-rs`.
//!
//! All read the same texts in turns (A B C D A B C D …), each in a process that lives through the whole run and times
//! its own loop. Ours extracts, repairs and validates; the others repair and parse. Compared is processor time, because a machine that
//! does other work too stretches the clock, and long turns more than short ones. `TOOLCALL_SEED` repeats a corpus.

mod driver;
mod environment;
mod quality;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use driver::Failure;
use environment::Environment;

use super::ROUNDS;
use super::statistics::{Ratio, exponent, median, ratio};
use crate::shell::TaskResult;

/// The cases of typical texts, and what they are.
const TYPICAL: [(&str, &str); 3] = [("clean", "clean"), ("unquoted", "unquoted keys"), ("mixed", "every kind of certain damage")];
/// Long damaged texts, in bytes: `corpus.rs` makes them.
const LONG: [usize; 5] = [9_000, 30_000, 100_000, 300_000, 1_000_000];
/// Hostile texts: `corpus.rs` makes them, in these two sizes.
const HOSTILE: [(&str, &str); 10] = [
    ("brackets", "`[` again and again"),
    ("objects", "`{\"a\":`"),
    ("quotes", "`\"`"),
    ("backslashes", "a string of `\\`"),
    ("apostrophes", "`', '`"),
    ("comments", "`/*`"),
    ("fences", "code fences"),
    ("envelopes_begun", "envelopes begun"),
    ("braces", "`{a} `"),
    ("commas", "`1,,`"),
];
const HOSTILE_SIZES: [usize; 2] = [25_000, 100_000];

/// How much processor time one turn of one reader is meant to take.
const TURN_NANOS: f64 = 3e6;
/// A reader whose turn takes more than this has fewer turns: other noise is small beside it.
const SLOW_NANOS: f64 = 1e9;
const SLOW_ROUNDS: usize = 7;

/// What one case gave.
struct Timed {
    /// The mean length of its texts.
    bytes: f64,
    /// For each reader what every round took, or why nothing is known.
    readers: Vec<Result<Samples, Failure>>,
}

/// Microseconds per call, round by round.
#[derive(Default)]
struct Samples {
    wall: Vec<f64>,
    processor: Vec<f64>,
}

pub(super) fn run() -> TaskResult {
    let seed = match std::env::var("TOOLCALL_SEED") {
        Ok(text) => text.parse().map_err(|error| format!("`TOOLCALL_SEED` is no number: {error}"))?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs()),
    };
    let mut environment = Environment::prepare(seed)?;
    println!("\nseed {seed}; medians of {ROUNDS} rounds in turns; ratios of processor time, and what they are at least with 95 %\n");
    println!("| text | reader | µs per call, processor | µs, clock | MB/s | ours is faster by (at least) |\n|{}", " --- |".repeat(6));
    for (case, what) in TYPICAL {
        let timed = time(&mut environment, case)?;
        print_rows(&environment, &format!("{what}, {:.0} B", timed.bytes), &timed);
    }
    let mut points: Vec<Vec<(f64, f64)>> = environment.drivers.iter().map(|_| Vec::new()).collect();
    for size in LONG {
        let timed = time(&mut environment, &format!("long_{size}"))?;
        print_rows(&environment, &format!("damaged, {:.0} kB", timed.bytes / 1e3), &timed);
        for (points, samples) in points.iter_mut().zip(&timed.readers) {
            points.extend(samples.as_ref().ok().map(|samples| (timed.bytes, median(&samples.processor))));
        }
    }
    println!("\nTime grows with the size of the damaged text to the power of:");
    for (driver, points) in environment.drivers.iter().zip(&points) {
        println!("* {}: {:.2} ({} sizes)", driver.name, exponent(points), points.len());
    }
    hostile(&mut environment)?;
    quality::run(&mut environment)
}

/// Times the hostile texts in both sizes, and tells what the readers make of them.
fn hostile(environment: &mut Environment) -> TaskResult {
    let names: Vec<&str> = environment.drivers.iter().map(|driver| driver.name).collect();
    let [small, large] = HOSTILE_SIZES;
    println!("\nHostile texts of {} kB: milliseconds, growth from {} kB, answer\n", large / 1_000, small / 1_000);
    println!("| text | {} |\n| --- |{}", names.join(" | "), " --- |".repeat(names.len()));
    for (name, what) in HOSTILE {
        let case = |size: usize| format!("hostile_{name}_{size}");
        let (short, long) = (time(environment, &case(small))?, time(environment, &case(large))?);
        let mut cells = Vec::new();
        for (driver, samples) in environment.drivers.iter_mut().zip(short.readers.iter().zip(&long.readers)) {
            cells.push(match samples {
                (Ok(few), Ok(many)) => {
                    let answer = match driver.judge(&case(large), 1)?.pop() {
                        Some(Err(failure)) => failure.name(),
                        Some(Ok(Some(_))) => "accepted",
                        _ => "refused",
                    };
                    let (few, many) = (median(&few.processor), median(&many.processor));
                    format!("{:.3}, {:.2}, {answer}", many / 1e3, exponent(&[(short.bytes, few), (long.bytes, many)]))
                }
                (Err(failure), _) | (_, Err(failure)) => failure.name().to_owned(),
            });
        }
        println!("| {what} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// Times one case, everybody in turns.
fn time(environment: &mut Environment, case: &str) -> TaskResult<Timed> {
    let path = environment.corpus.join(format!("{case}.jsonl"));
    let text = fs::read_to_string(&path).map_err(|error| format!("could not read `{}`: {error}", path.display()))?;
    let lengths: Vec<usize> =
        text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["text"].as_str().map(str::len)).collect();
    let count = as_f64(lengths.len());
    let mut plans: Vec<(u64, usize)> = Vec::new();
    let mut readers: Vec<Result<Samples, Failure>> = Vec::new();
    for driver in &mut environment.drivers {
        // The first pass reads the file and warms up, the second tells how long a turn would be.
        let warm = driver.time(case, 1)?;
        let once = if warm.is_ok() { driver.time(case, 1)? } else { warm };
        let nanos = once.as_ref().map_or(SLOW_NANOS, |took| took.processor.max(1.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
        let passes = (TURN_NANOS / nanos).clamp(1.0, 100_000.0) as u64;
        plans.push((passes, if nanos > SLOW_NANOS { SLOW_ROUNDS } else { ROUNDS }));
        readers.push(once.map(|_| Samples::default()));
    }
    for round in 0..ROUNDS {
        for ((driver, (passes, rounds)), reader) in environment.drivers.iter_mut().zip(&plans).zip(&mut readers) {
            let Ok(samples) = &mut *reader else { continue };
            if round >= *rounds {
                continue;
            }
            match driver.time(case, *passes)? {
                Ok(took) => {
                    #[expect(clippy::cast_precision_loss, reason = "a small number")]
                    let calls = *passes as f64 * count;
                    samples.wall.push(took.wall / 1e3 / calls);
                    samples.processor.push(took.processor / 1e3 / calls);
                }
                Err(failure) => *reader = Err(failure),
            }
        }
    }
    Ok(Timed { bytes: as_f64(lengths.iter().sum()) / count, readers })
}

fn print_rows(environment: &Environment, what: &str, timed: &Timed) {
    let ours = timed.readers.first().and_then(|samples| samples.as_ref().ok());
    for (index, (driver, samples)) in environment.drivers.iter().zip(&timed.readers).enumerate() {
        let what = if index == 0 { what } else { "" };
        match samples {
            Ok(samples) => {
                let (wall, processor) = (median(&samples.wall), median(&samples.processor));
                let faster = match ours {
                    Some(ours) if index > 0 => {
                        let Ratio { median, at_least, .. } = ratio(&samples.processor, &ours.processor);
                        format!("{median:.1} × ({at_least:.1})")
                    }
                    _ => String::new(),
                };
                println!("| {what} | {} | {processor:.2} | {wall:.2} | {:.1} | {faster} |", driver.name, timed.bytes / processor);
            }
            Err(failure) => println!("| {what} | {} | {} | | | |", driver.name, failure.name()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of texts")]
const fn as_f64(length: usize) -> f64 {
    length as f64
}

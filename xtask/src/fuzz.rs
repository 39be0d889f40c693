//! `cargo xtask fuzz`: bounded fuzzing with the stable compiler, from a seed that repeats it.
//!
//! Inputs are mutations of samples. What a check refuses by panicking, what takes too long, and what takes more than
//! linear time is saved and reported. It sees no coverage: for longer runs there is cargo-fuzz with the same checks.

#[path = "../../orchestrator-core/fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "cargo-fuzz takes the file as a library")]
mod core_checks;
mod mutate;
#[path = "../../orchestrator-providers/fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "cargo-fuzz takes the file as a library")]
mod providers_checks;
mod samples;
#[path = "../../orchestrator-toolcall/fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "cargo-fuzz takes the file as a library")]
mod toolcall_checks;
mod watch;

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::shell::{TaskResult, target_dir};
use mutate::Mutator;
use watch::Watch;

/// What to fuzz, and for how long.
#[derive(Args)]
pub(crate) struct FuzzArguments {
    /// Fuzz only these targets; all of them, when none is named.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Repeats the run that printed this seed.
    #[arg(long)]
    seed: Option<u64>,
}

/// Something that reads bytes from outside.
struct Target {
    name: &'static str,
    check: fn(&[u8]),
    samples: fn() -> TaskResult<Vec<Vec<u8>>>,
    growth: Growth,
}

/// What is promised of the time it takes.
#[derive(PartialEq, Eq)]
enum Growth {
    /// Linear in the length of the input.
    Linear,
    /// Only that it ends soon.
    Bounded,
}

const TARGETS: [Target; 11] = [
    Target { name: "parse", check: toolcall_checks::parse, samples: samples::texts, growth: Growth::Linear },
    Target { name: "call", check: toolcall_checks::call, samples: samples::texts, growth: Growth::Linear },
    Target { name: "strict", check: toolcall_checks::strict, samples: samples::texts, growth: Growth::Linear },
    Target { name: "scanner", check: toolcall_checks::scanner, samples: samples::texts, growth: Growth::Linear },
    Target { name: "portable", check: toolcall_checks::portable, samples: samples::schemas, growth: Growth::Bounded },
    Target { name: "config", check: core_checks::config, samples: samples::configs, growth: Growth::Bounded },
    Target { name: "gguf_header", check: core_checks::gguf_header, samples: samples::ggufs, growth: Growth::Bounded },
    Target { name: "safetensors_header", check: core_checks::safetensors_header, samples: samples::safetensors, growth: Growth::Bounded },
    Target { name: "model_reference", check: core_checks::model_reference, samples: samples::references, growth: Growth::Bounded },
    Target { name: "hub_listing", check: providers_checks::hub_listing, samples: samples::listings, growth: Growth::Bounded },
    Target { name: "registry_manifest", check: providers_checks::registry_manifest, samples: samples::registry, growth: Growth::Bounded },
];

/// The two lengths, in bytes, between which growth is measured.
const LENGTHS: [usize; 2] = [16 * 1024, 128 * 1024];
/// How many times as long as linear the longer one may take: quadratic would be eight times.
const SLACK: u32 = 4;
/// What the longer one may always take, whatever the shorter one took: work that grows with the square of its length
/// takes much more.
const ALWAYS_FINE: Duration = Duration::from_millis(200);
/// How often a suspicion is looked at again: other work on the machine looks like growth, but not always.
const DOUBTS: usize = 6;

pub(crate) fn run(arguments: &FuzzArguments) -> TaskResult {
    let seed = arguments.seed.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()) + since.as_secs())
    });
    if let Some(unknown) = arguments.targets.iter().find(|name| TARGETS.iter().all(|target| target.name != **name)) {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!("there is no target `{unknown}`; there are {}", known.join(", ")));
    }
    let wanted = |target: &&Target| arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name);
    for target in TARGETS.iter().filter(wanted) {
        fuzz(target, seed, Duration::from_secs(arguments.seconds))?;
    }
    Ok(())
}

/// Fuzzes everything for a moment: for `cargo xtask test`.
pub(crate) fn briefly() -> TaskResult {
    run(&FuzzArguments { targets: Vec::new(), seconds: 2, seed: None })
}

fn fuzz(target: &Target, seed: u64, time: Duration) -> TaskResult {
    // Said before anything can end this process.
    println!("fuzz {}: seed {seed}", target.name);
    let mut mutator = Mutator::new(seed, (target.samples)()?);
    let watch = Watch::start(target.name);
    let ends = Instant::now() + time;
    let (mut inputs, mut stretched) = (0_u64, 0_u64);
    while Instant::now() < ends {
        // Growth is dear to measure: one in so many.
        if target.growth == Growth::Linear && inputs % 512 == 511 {
            let (prefix, pattern) = mutator.pattern();
            check_growth(target, &watch, &prefix, &pattern)?;
            stretched += 1;
        }
        let input = mutator.input();
        watch.check(target.check, &input).map_err(|what| report(target, &what, &input))?;
        inputs += 1;
    }
    println!("fuzz {}: {inputs} inputs, {stretched} stretched", target.name);
    Ok(())
}

fn check_growth(target: &Target, watch: &Watch, prefix: &[u8], pattern: &[u8]) -> TaskResult {
    let [short, long] = LENGTHS.map(|length| {
        let repeated = pattern.repeat(length / pattern.len().max(1));
        [prefix, repeated.as_slice()].concat()
    });
    let took = |input: &[u8]| watch.check(target.check, input).map_err(|what| report(target, &what, input));
    let factor = u32::try_from(LENGTHS[1] / LENGTHS[0]).unwrap_or(u32::MAX) * SLACK;
    let (mut least_short, mut least_long) = (Duration::MAX, Duration::MAX);
    for _ in 0..DOUBTS {
        (least_short, least_long) = (least_short.min(took(&short)?), least_long.min(took(&long)?));
        if least_long <= (least_short * factor).max(ALWAYS_FINE) {
            return Ok(());
        }
    }
    Err(report(target, &format!("{} bytes took {least_short:?} and {} bytes {least_long:?}", short.len(), long.len()), &long))
}

/// Saves an input and says where it is.
fn report(target: &Target, what: &str, input: &[u8]) -> String {
    let file = target_dir().join("fuzz").join(format!("{}.input", target.name));
    let saved = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, input));
    let place = saved.map_or_else(|error| format!("not saved: {error}"), |()| format!("saved as `{}`", file.display()));
    format!("`{}` failed: {what}; the input ({} bytes) is {place}", target.name, input.len())
}

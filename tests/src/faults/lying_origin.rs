//! A source that lies: about bytes, ranges, lengths, places, time and lists.

mod neighbour;
mod ways;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::observe::memory_kib;
use super::pulls::{
    Shop, assert_no_parts, assert_nothing_unverified, assert_tokens_stayed, begin, cache_of, ended_within, hub_of, installed, large_file,
    open_hub, remove, story, weights,
};
use super::stage::{EndAtLast, daemon_of, pause, timing};
use super::{Row, Stage};
use crate::TestHome;
use crate::hub::{Content, Hub, Part, Rule};
use neighbour::Neighbour;
use ways::{Expected, WAYS, Way};

pub(super) const ROW: Row = Row {
    number: 12,
    fault: "a lying source: every way to be bad with bytes, ranges, lengths, places, time and lists, a dozen side by side",
    holds: "no bad file is visible, no token leaves its host, nobody is asked who should not be, everything ends in time",
    count: 60,
    prepare,
    round,
};

/// How long a model is.
const SIZE: u64 = 3 << 20;
/// How many ways are tried at once.
const AT_ONCE: usize = 12;
/// Everything ends within this, also what comes to nothing ten times, half a minute each and half a minute later.
const LIMIT: Duration = Duration::from_mins(10);
/// What is quick ends within this.
const QUICK: Duration = Duration::from_mins(1);
/// By how much the daemon may grow, whatever it is sent.
const GROWTH_KIB: u64 = 192 * 1024;

/// A model that is pulled from a source that is bad in one way.
struct Trial {
    way: &'static Way,
    name: String,
    reference: String,
    content: Content,
}

fn prepare(home: &TestHome) {
    open_hub(home);
    let config = format!("gateway:\n  port: 0\nmodels:\n  parallel_pulls: {}\n  connections: 4\n", 2 * AT_ONCE);
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    home.orch(&["daemon", "start"]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let home = stage.home;
    let hub = hub_of(home);
    let endpoint = home.endpoint();
    let neighbour = Neighbour::find();
    hub.forget_seen();
    let slow_too = stage.random.below(4) == 0;
    let mut ways: Vec<&'static Way> = WAYS.iter().filter(|way| slow_too || !way.is_slow).collect();
    let trials: Vec<Trial> = (0..AT_ONCE)
        .map(|number| {
            let way = ways.swap_remove(stage.random.index(ways.len()));
            prepare_trial(stage, &hub, way, number, neighbour.as_ref())
        })
        .collect();
    let daemon = daemon_of(home).unwrap();
    let before = memory_kib(daemon);
    let ending = AtomicBool::new(false);
    let (ends, peak) = thread::scope(|scope| {
        let _ends = EndAtLast(&ending);
        let sampler = scope.spawn(|| peak_of(daemon, &ending));
        let pulling: Vec<_> = trials.iter().map(|trial| scope.spawn(|| timing(|| pull(&endpoint, &trial.reference)))).collect();
        let ends: Vec<_> =
            pulling.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
        ending.store(true, Ordering::SeqCst);
        (ends, sampler.join().unwrap())
    });
    hub.clear_rules();
    let mut complaints = Vec::new();
    for (trial, (end, took)) in trials.iter().zip(ends) {
        let (what, goal) = if trial.way.is_slow { ("the end of what hangs and drips", LIMIT) } else { ("the end of all else", QUICK) };
        stage.timed(what, goal, took);
        if let Err(complaint) = judge(home, &endpoint, trial, &end) {
            let story = story(&hub, [&trial.name, trial.content.sha256()]);
            complaints.push(format!("{} of {}: {complaint}\n{story}", trial.way.name, trial.reference));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
    assert_tokens_stayed(&hub);
    if let Some(neighbour) = neighbour {
        neighbour.assert_nobody_came();
    }
    stage.weighed("the daemon's growth", GROWTH_KIB << 10, peak.saturating_sub(before) << 10);
    assert!(peak.saturating_sub(before) <= GROWTH_KIB, "the daemon grew by {} KiB", peak - before);
    // What is kept of a failed pull is for the next try.
    let _ = std::fs::remove_dir_all(cache_of(home));
    let _ = std::fs::remove_dir_all(home.path().join("models"));
    assert_no_parts(home);
}

/// Looks at what became of a pull. What is there goes again.
fn judge(home: &TestHome, endpoint: &str, trial: &Trial, end: &Result<(), Value>) -> Result<(), String> {
    let Trial { way, reference, content, .. } = trial;
    let copies = assert_nothing_unverified(home, content);
    let is_shown = installed(endpoint).contains(reference);
    match end {
        Ok(()) if copies == 0 || !is_shown => Err("it was fetched, and is not there".to_owned()),
        Ok(()) => {
            remove(endpoint, reference);
            if way.expected == Expected::Refused { Err("it was taken".to_owned()) } else { Ok(()) }
        }
        Err(problem) => {
            let code = problem["code"].as_str().unwrap_or_default();
            let is_told = code.starts_with("model.") || code.starts_with("provider.");
            match () {
                () if way.expected == Expected::Mended => Err(format!("it was given up: {problem:#}")),
                () if !is_told || !problem["hint"].is_string() => Err(format!("nobody knows what to do: {problem:#}")),
                () if is_shown => Err("it failed, and is shown as installed".to_owned()),
                () => Ok(()),
            }
        }
    }
}

/// Offers a model, and makes the hub bad with it.
fn prepare_trial(stage: &mut Stage<'_>, hub: &Hub, way: &'static Way, number: usize, neighbour: Option<&Neighbour>) -> Trial {
    let shop = way.shop.unwrap_or(*stage.random.pick(&[Shop::HuggingFace, Shop::Ollama]));
    let content = weights(stage.random.next(), SIZE + stage.random.below(4_096));
    let name = format!("m{number}-{:x}", stage.random.next());
    let reference = shop.offer(hub, &name, &content);
    let how = (way.how)(&mut stage.random, neighbour.map(Neighbour::url));
    // A host of large files knows those of the registry by their digests alone.
    let is_bytes = matches!(way.part, Part::Bytes | Part::Head);
    let path = match shop {
        Shop::Ollama if is_bytes => content.sha256().to_owned(),
        Shop::HuggingFace if way.large_only => large_file(&name),
        Shop::HuggingFace | Shop::Ollama => name.clone(),
    };
    let rule = Rule::new(how).path(&path).part(way.part).skip(way.skip);
    hub.rule(match way.times {
        Some(times) => rule.times(times),
        None => rule,
    });
    Trial { way, name, reference, content }
}

/// Pulls a model; returns the problem where it cannot be had, and how far it is where it does not end.
fn pull(endpoint: &str, reference: &str) -> Result<(), Value> {
    let status = ended_within(endpoint, &begin(endpoint, reference)?, LIMIT)?;
    if status["status"] == "succeeded" { Ok(()) } else { Err(status["problem"].clone()) }
}

fn peak_of(daemon: u32, ending: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !ending.load(Ordering::SeqCst) {
        peak = peak.max(memory_kib(daemon));
        pause(Duration::from_millis(5));
    }
    peak
}

//! The promise, measured: damaged envelopes are read right or refused, and never read wrong.
//!
//! Fresh damage on every run; `TOOLCALL_SEED` and `TOOLCALL_ROUNDS` repeat or lengthen one.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::pedantic, reason = "a test prints its table")]
#![expect(unreachable_pub, reason = "the modules are shared with benchmarks")]

#[path = "corruption/damage.rs"]
mod damage;
#[path = "corruption/random.rs"]
mod random;
#[path = "corruption/tools.rs"]
mod tools;

use std::time::{SystemTime, UNIX_EPOCH};

use damage::{CERTAIN, DOUBTFUL, Damaged, REFUSED};
use orchestrator_toolcall::{Fidelity, Finish, ToolSet, Verdict};
use random::Random;
use serde_json::Value;

#[derive(Default)]
struct Count {
    right: usize,
    wrong: usize,
    refused: usize,
    sample: Option<(String, String)>,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn judge(tools: &ToolSet, damaged: &Damaged) -> (Verdict, Option<Value>) {
    let finish = if damaged.stopped { Finish::Stop } else { Finish::Length };
    let verdict = tools.parse(&damaged.text, finish);
    let value = verdict.envelope.as_ref().map(|envelope| serde_json::to_value(envelope).unwrap());
    (verdict, value)
}

#[test]
fn damaged_envelopes_are_read_right_or_refused() {
    let seed = setting("TOOLCALL_SEED")
        .unwrap_or_else(|| u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() % 1_000_000_007).unwrap());
    let rounds = setting("TOOLCALL_ROUNDS").unwrap_or(300);
    println!("seed {seed}, {rounds} rounds");
    let mut random = Random::new(seed);
    let mut certain: Vec<Count> = CERTAIN.iter().map(|_| Count::default()).collect();
    let mut doubtful: Vec<Count> = DOUBTFUL.iter().map(|_| Count::default()).collect();
    let mut refused: Vec<Count> = REFUSED.iter().map(|_| Count::default()).collect();
    for _ in 0..rounds {
        let described = tools::tools(&mut random);
        let set = ToolSet::from_openai(&described).unwrap();
        let envelope = tools::envelope(&mut random, &described);
        for (kinds, counts) in [(&CERTAIN[..], &mut certain), (&DOUBTFUL[..], &mut doubtful), (&REFUSED[..], &mut refused)] {
            for ((_, make), count) in kinds.iter().zip(counts.iter_mut()) {
                let Some(damaged) = make(&mut random, &envelope) else {
                    continue;
                };
                let (verdict, value) = judge(&set, &damaged);
                let sample = || Some((damaged.text.clone(), format!("{:?} {:?}", verdict.fidelity, verdict.errors)));
                match value {
                    Some(value) if value == envelope => count.right += 1,
                    Some(_) => {
                        count.wrong += 1;
                        count.sample =
                            sample().map(|(text, verdict)| (format!("{text}\n    was {envelope}\n    tools {described}"), verdict));
                    }
                    None => {
                        count.refused += 1;
                        count.sample.get_or_insert_with(|| sample().unwrap());
                        assert!(verdict.fidelity != Fidelity::Ambiguous || !verdict.errors.is_empty());
                    }
                }
            }
        }
    }
    let (right, wrong, total) = table("the meaning is certain", CERTAIN.iter().map(|kind| kind.0), &certain, true);
    let share = 100.0 * right as f64 / total as f64;
    println!("{share:.2} % right of {total}");
    let (guessed, guessed_wrong, _) = table("must be refused", REFUSED.iter().map(|kind| kind.0), &refused, false);
    let (_, doubtful_wrong, _) = table("right or refused", DOUBTFUL.iter().map(|kind| kind.0), &doubtful, false);
    assert_eq!(wrong + doubtful_wrong, 0, "silently wrong");
    assert_eq!(guessed + guessed_wrong, 0, "accepted what had to be guessed");
    assert!(share >= 98.0, "only {share:.2} % right");
}

fn table<'a>(title: &str, names: impl Iterator<Item = &'a str>, counts: &[Count], wants_right: bool) -> (usize, usize, usize) {
    println!("\n{title:32} {:>6} {:>14} {:>8}", "right", "silently wrong", "refused");
    let mut sums = (0, 0, 0);
    for (name, count) in names.zip(counts) {
        println!("{name:32} {:6} {:14} {:8}", count.right, count.wrong, count.refused);
        sums = (sums.0 + count.right, sums.1 + count.wrong, sums.2 + count.right + count.wrong + count.refused);
        let bad = count.wrong > 0 || (wants_right && count.refused > 0);
        if let Some((text, verdict)) = count.sample.as_ref().filter(|_| bad) {
            println!("    {text}\n    {verdict}");
        }
    }
    sums
}

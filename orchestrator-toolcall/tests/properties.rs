//! What holds for every text and every tool set.
#![expect(clippy::unwrap_used, clippy::pedantic, reason = "a failing test may panic")]
#![expect(unreachable_pub, dead_code, reason = "the modules are shared with the corruption run and benchmarks")]

#[path = "corruption/damage.rs"]
mod damage;
#[path = "corruption/random.rs"]
mod random;
#[path = "corruption/tools.rs"]
mod tools;

use std::time::Instant;

use damage::{CERTAIN, DOUBTFUL, Damaged, REFUSED};
use orchestrator_toolcall::schema::Validator;
use orchestrator_toolcall::{Fidelity, Finish, Limits, StreamScanner, StreamState, ToolSet, Verdict};
use proptest::prelude::*;
use random::Random;
use serde_json::Value;

struct Case {
    random: Random,
    set: ToolSet,
    envelope: Value,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let described = tools::tools(&mut random);
        let envelope = tools::envelope(&mut random, &described);
        Self { random, set: ToolSet::from_openai(&described).unwrap(), envelope }
    }

    /// The envelope as it is, or damaged in any way.
    fn text(&mut self) -> Damaged {
        let kinds: Vec<_> = CERTAIN.iter().chain(&REFUSED).chain(&DOUBTFUL).collect();
        loop {
            let kind = *self.random.pick(&kinds);
            if let Some(damaged) = (kind.1)(&mut self.random, &self.envelope) {
                return damaged;
            }
        }
    }

    fn clean(&mut self) -> String {
        damage::join(&damage::write(&mut self.random, &self.envelope))
    }
}

fn said(verdict: &Verdict) -> Option<Value> {
    verdict.envelope.as_ref().map(|envelope| serde_json::to_value(envelope).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_envelope_survives_a_round_trip_as_exact(seed: u64) {
        let mut case = Case::new(seed);
        let text = case.clean();
        let verdict = case.set.parse(&text, Finish::Stop);
        prop_assert_eq!(verdict.fidelity, Fidelity::Exact);
        let again = serde_json::to_string(verdict.envelope.as_ref().unwrap()).unwrap();
        let second = case.set.parse(&again, Finish::Length);
        prop_assert_eq!(second.fidelity, Fidelity::Exact);
        prop_assert_eq!(said(&second), Some(case.envelope));
    }

    #[test]
    fn repair_is_idempotent(seed: u64) {
        let mut case = Case::new(seed);
        let damaged = case.text();
        let verdict = case.set.parse(&damaged.text, Finish::Stop);
        if let Some(envelope) = &verdict.envelope {
            let written = serde_json::to_string(envelope).unwrap();
            let again = case.set.parse(&written, Finish::Length);
            prop_assert_eq!(again.fidelity, Fidelity::Exact);
            prop_assert_eq!(again.envelope.as_ref(), Some(envelope));
        }
    }

    #[test]
    fn trailing_prose_changes_nothing(seed: u64, prose in "[a-zA-Zäß.,;!?'()*# \n-]{0,80}") {
        // A comma and then something in quotes is what more of the same data looks like, after a closer too many: that is
        // refused, whatever it was meant as.
        prop_assume!(!prose.trim_start().strip_prefix(',').is_some_and(|rest| rest.trim_start().starts_with('\'')));
        let mut case = Case::new(seed);
        let text = case.clean();
        let alone = case.set.parse(&text, Finish::Stop);
        let followed = case.set.parse(format!("{text}\n{prose}"), Finish::Stop);
        prop_assert_eq!(said(&alone), said(&followed), "{}", prose);
        prop_assert!(matches!(followed.fidelity, Fidelity::Exact | Fidelity::Extracted));
    }

    #[test]
    fn whatever_is_accepted_matches_the_full_and_the_portable_schema(seed: u64) {
        let mut case = Case::new(seed);
        let damaged = case.text();
        let verdict = case.set.parse(&damaged.text, Finish::Stop);
        if let Some(value) = said(&verdict) {
            prop_assert!(Validator::new(&case.set.full_schema()).unwrap().is_valid(&value));
            prop_assert!(Validator::new(&case.set.portable_schema()).unwrap().is_valid(&value));
        }
    }

    #[test]
    fn edits_lie_in_the_text_in_order_and_on_characters(seed: u64) {
        let mut case = Case::new(seed);
        let damaged = case.text();
        let verdict = case.set.parse(&damaged.text, Finish::Stop);
        let mut last = 0;
        for edit in &verdict.edits {
            prop_assert!(last <= edit.start && edit.start <= edit.end, "{:?}", verdict.edits);
            prop_assert!(damaged.text.get(edit.start..edit.end).is_some(), "{:?}", edit);
            last = edit.start;
        }
    }

    #[test]
    fn refusal_and_acceptance_exclude_each_other(seed: u64) {
        let mut case = Case::new(seed);
        let damaged = case.text();
        for finish in [Finish::Stop, Finish::Length] {
            let verdict = case.set.parse(&damaged.text, finish);
            prop_assert_eq!(verdict.envelope.is_some(), verdict.errors.is_empty());
            prop_assert!(verdict.fidelity != Fidelity::Ambiguous || verdict.envelope.is_none());
            prop_assert!(verdict.fidelity != Fidelity::Repaired || !verdict.edits.is_empty());
        }
    }

    #[test]
    fn cutting_the_stream_where_the_scanner_says_loses_nothing(seed: u64, cut: usize) {
        let mut case = Case::new(seed);
        let text = case.clean();
        let stream = format!("Here: {text}\n\nAnything else {{\"v\":");
        let mut scanner = StreamScanner::new(Limits::DEFAULT);
        let cut = cut % stream.len();
        scanner.push(&stream.as_bytes()[..cut]);
        let StreamState::Complete { end } = scanner.push(&stream.as_bytes()[cut..]) else {
            return Err(TestCaseError::fail(stream));
        };
        prop_assert_eq!(end, "Here: ".len() + text.len());
        prop_assert_eq!(said(&case.set.parse(&stream[..end], Finish::Stop)), Some(case.envelope));
    }

    #[test]
    fn no_bytes_make_it_panic(seed: u64, bytes in prop::collection::vec(any::<u8>(), 0..300), at: usize) {
        let mut case = Case::new(seed);
        let _ = case.set.parse(&bytes, Finish::Stop);
        // Noise inside something that looks like an envelope goes deeper.
        let mut text = case.text().text.into_bytes();
        let at = at % (text.len() + 1);
        text.splice(at..at, bytes.iter().copied().take(4));
        let _ = case.set.parse(&text, Finish::Stop);
        let _ = case.set.parse(String::from_utf8_lossy(&text).as_bytes(), Finish::Length);
    }

    #[test]
    fn no_mixture_of_tokens_makes_it_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "'", "\\", "\\\"", "\\u", "d800", "v", "type", "calls", "\"v\":1", "\"type\":\"tool_calls\"",
        "1", "-", "1e", "true", "None", " ", "\n", "//", "/*", "*/", "#", "```", "<think>", "</think>", "<tool_call>", "“", "”", "’", "，", "：",
        "\u{feff}", "\u{a0}", "\0", "name", "arguments", "😀", "[THINK]", "<!--", "]]>",
    ]), 0..60)) {
        let set = ToolSet::from_json(&serde_json::json!([{"name": "f", "input_schema": {}}])).unwrap();
        let text = parts.concat();
        for finish in [Finish::Stop, Finish::Length] {
            let _ = set.parse(&text, finish);
            let _ = set.parse_call("f", &text, finish);
        }
    }
}

/// Far from 2, which is quadratic time, and above what noise makes of 1.
const MAX_EXPONENT: f64 = 1.6;

/// The exponent with which time grows; a busy machine can only make it look worse, so it may try again.
fn exponent(make: &dyn Fn(usize) -> String) -> f64 {
    (0..8).map(|_| exponent_once(make)).find(|grows| *grows < MAX_EXPONENT).unwrap_or(f64::MAX)
}

fn exponent_once(make: &dyn Fn(usize) -> String) -> f64 {
    let limits = Limits { max_bytes: usize::MAX, ..Limits::DEFAULT };
    let set = ToolSet::from_json(&serde_json::json!([{"name": "f", "input_schema": {}}])).unwrap().with_limits(limits);
    let time = |text: &str| {
        (0..3)
            .map(|_| {
                let started = Instant::now();
                let _ = set.parse(text, Finish::Stop);
                started.elapsed().as_secs_f64()
            })
            .fold(f64::MAX, f64::min)
    };
    let (small, large) = (make(1 << 12), make(1 << 16));
    (time(&large) / time(&small)).log2() / (large.len() as f64 / small.len() as f64).log2()
}

#[test]
fn time_grows_linearly_with_hostile_texts() {
    for unit in [
        "[",
        "{",
        "\"",
        "<",
        "<think>",
        "</think>",
        "<think ",
        "{\"a\":",
        "[{",
        "{\"a\":1}",
        "{a ",
        "{\"v\":",
        "[[[{",
        "{\\\"",
        "<!--",
        "{'",
        "/*",
        "{//",
        "“",
        "\u{a0}{",
        "{\"a\":1,",
        "[1,{\"b\":[",
        "{\"a\" \"b\" ",
        "```{",
        "}]",
        "{\"b\":[1, {\"a\": } ",
        "{x:{v:",
        "{\"a\":{\"b\":{}}}}, ",
        "{\"a\":1 ",
        "{\"a\":1,}} ",
        "[{\"a\":1}, ",
        "{a:[[1]],",
        "'",
        "{'a':'b' ",
        "{\"a\":[1}",
    ] {
        let grows = exponent(&|size| unit.repeat(size / unit.len()));
        assert!(grows < MAX_EXPONENT, "{unit}: {grows:.2}");
    }
    let inside = |unit: &'static str| {
        move |size: usize| format!("{{v:1,type:'tool_calls',calls:[{{name:'f',arguments:{{a:[{}]", unit.repeat(size / unit.len()))
    };
    for unit in ["{b:1,c:'x' },", "[[1],[2]],", "\"a\" ", "1 ", "{\"a\":{\"b\":1,\"c\":2}},", "[],", "// c\n1,", "\u{a0}1,", "\"a\nb\","] {
        let grows = exponent(&inside(unit));
        assert!(grows < MAX_EXPONENT, "{unit}: {grows:.2}");
    }
}

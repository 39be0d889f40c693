//! Engines whose answers are slow, broken, endless or wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use orchestrator_core::event::EventKind;
use serde_json::{Value, json};

use super::observe::{descriptors, memory_kib};
use super::stage::{chat, daemon_of, describe, events, newest_event, pause, timing};
use super::{Row, Stage};
use crate::behaviour::BadAnswer;
use crate::home::SOON;
use crate::http::Response;
use crate::{Behaviour, TestHome, http, wait_until};

pub(super) const ROW: Row = Row {
    number: 15,
    fault: "slow and lying backends: drips, endless lines, bad framing, wrong lengths, resets, 5xx",
    holds: "the right 502 or 504 or an error event, the circuit opens after 5 failures, memory grows by less than 64 MiB, \
            nothing stays under way",
    count: 1_000,
    prepare,
    round,
};

/// What becomes of a bad answer.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// An error with this status.
    Status(u16),
    /// A stream that ends with an error event.
    ErrorEvent,
    /// A whole stream.
    Done,
    /// A body that is cut short, and is seen to be.
    Cut,
    /// The part of the answer that was promised.
    Body(&'static str),
    /// No end.
    Endless,
}

const KINDS: [(BadAnswer, Expected); 17] = [
    (BadAnswer::Silence, Expected::Status(504)),
    (BadAnswer::Close, Expected::Status(502)),
    (BadAnswer::Reset, Expected::Status(502)),
    (BadAnswer::Nonsense, Expected::Status(502)),
    (BadAnswer::EndlessHead, Expected::Status(502)),
    (BadAnswer::DrippingHead, Expected::Status(504)),
    (BadAnswer::ShortBody, Expected::Status(502)),
    (BadAnswer::ShortLargeBody, Expected::Cut),
    (BadAnswer::DrippingBody, Expected::Status(504)),
    (BadAnswer::LongBody, Expected::Body("{}")),
    (BadAnswer::BadChunking, Expected::ErrorEvent),
    (BadAnswer::ResetStream, Expected::ErrorEvent),
    (BadAnswer::SilentStream, Expected::ErrorEvent),
    (BadAnswer::DrippingStream, Expected::Done),
    (BadAnswer::EndlessLine, Expected::Endless),
    (BadAnswer::Busy, Expected::Status(503)),
    (BadAnswer::Broken, Expected::Status(500)),
];
/// How long an engine may be silent here.
const PATIENCE: Duration = Duration::from_millis(400);
/// By how much the daemon may grow in one round.
const GROWTH_KIB: u64 = 64 * 1024;
/// How much of an endless answer is read.
const ENOUGH: usize = 24 * 1024 * 1024;
/// How many failures in a row open a circuit.
const FAILURES: u64 = 5;
/// The code of a request that an open circuit refuses.
const CIRCUIT_OPEN: &str = "instance.circuit_open";

fn name_of(kind: BadAnswer) -> String {
    serde_json::to_value(kind).unwrap().as_str().unwrap().replace('_', "-")
}

fn prepare(home: &TestHome) {
    std::fs::write(home.path().join("config.yaml"), "gateway:\n  port: 0\nlimits:\n  first_byte: 400ms\n").unwrap();
    for (kind, _) in KINDS {
        let name = name_of(kind);
        let mut config = home.config(&name, &Behaviour { bad_answer: Some(kind), ..Behaviour::default() });
        config["healthcheck"] = json!({ "interval": "10s", "timeout": "5s", "start_period": "20s" });
        config["server"] = json!({ "timeout": "400ms" });
        home.write_config(&name, &config);
    }
    let names: Vec<String> = KINDS.iter().map(|(kind, _)| name_of(*kind)).collect();
    let arguments: Vec<&str> = std::iter::once("up").chain(names.iter().map(String::as_str)).collect();
    home.orch(&arguments).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let endpoint = stage.home.endpoint();
    let daemon = daemon_of(stage.home).unwrap();
    let (kind, expected) = *stage.random.pick(&KINDS);
    let name = name_of(kind);
    let clients = 1 + stage.random.below(6);
    let before = memory_kib(daemon);
    let descriptors_before = descriptors(daemon);
    let ending = AtomicBool::new(false);
    let (took, peak) = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !ending.load(Ordering::SeqCst) {
                peak = peak.max(memory_kib(daemon));
                pause(Duration::from_millis(2));
            }
            peak
        });
        let asking: Vec<_> = (0..clients).map(|_| scope.spawn(|| timing(|| check(&endpoint, &name, expected)))).collect();
        let took: Vec<_> = asking.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ending.store(true, Ordering::SeqCst);
        (took, sampler.join().unwrap())
    });
    for took in took {
        let ((), took) = took.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match expected {
            Expected::Status(_) | Expected::ErrorEvent | Expected::Body(_) => {
                // Silence is known after a while; what may be tried again, is, and its end is waited for.
                stage.timed("the client knows", PATIENCE + Duration::from_millis(750), took);
            }
            Expected::Done | Expected::Cut | Expected::Endless => {}
        }
    }
    if matches!(expected, Expected::Status(_)) && stage.random.below(3) == 0 {
        circuit_opens(stage, &endpoint, &name, expected);
    }
    let growth = peak.saturating_sub(before);
    assert!(growth <= GROWTH_KIB, "{name}: the daemon grew by {growth} KiB");
    assert!(peak <= 3 * GROWTH_KIB, "{name}: the daemon has {peak} KiB");
    wait_until(&format!("{name}: nothing is under way"), SOON, || (describe(&endpoint, &name)["requests_in_flight"] == 0).then_some(()));
    wait_until(&format!("{name}: no connection is left"), SOON, || (descriptors(daemon) <= descriptors_before + 4).then_some(()));
}

fn check(endpoint: &str, name: &str, expected: Expected) {
    let answer = chat(endpoint, name, "hello", true).unwrap();
    let status = answer.status;
    match expected {
        // Others failed before: the circuit may be open.
        Expected::Status(_) if is_refusal(&answer) => assert_eq!(answer.json()["error"]["code"], CIRCUIT_OPEN, "{name}"),
        Expected::Status(wanted) => assert_eq!(status, wanted, "{name}: {:?}", answer.text()),
        Expected::ErrorEvent => {
            let text = answer.text().unwrap();
            let last: Value = serde_json::from_str(http::events(&text).last().unwrap()).unwrap();
            assert!(last["error"]["message"].is_string(), "{name}: {text}");
        }
        Expected::Done => assert!(answer.text().unwrap().ends_with("data: [DONE]\n\n"), "{name}"),
        Expected::Cut => assert!(answer.text().is_err(), "{name}: a body that is cut short must not look whole"),
        Expected::Body(wanted) => assert_eq!(answer.text().unwrap(), wanted, "{name}"),
        Expected::Endless => read_enough(answer),
    }
}

/// Reads a lot, waits as a slow client does, and goes away.
fn read_enough(mut answer: Response) {
    let mut seen = 0;
    while seen < ENOUGH {
        seen += answer.next_piece().unwrap().unwrap().len();
    }
    pause(Duration::from_millis(100));
}

/// Only we say when to come back.
fn is_refusal(answer: &Response) -> bool {
    answer.status == 503 && answer.header("retry-after").is_some()
}

/// A new server fails one request after the other: it gets five of them, and the next one reaches nobody.
fn circuit_opens(stage: &mut Stage<'_>, endpoint: &str, name: &str, expected: Expected) {
    let after = newest_event(endpoint);
    let restarted = http::send(endpoint, "POST", &format!("/api/v1/instances/{name}/restart?wait=true"), b"").unwrap();
    assert_eq!(restarted.status, 200, "{name} is started again");
    let refused = loop {
        let begun = Instant::now();
        let answer = chat(endpoint, name, "hello", true).unwrap();
        if is_refusal(&answer) {
            stage.timed("an open circuit refuses", Duration::from_millis(20), begun.elapsed());
            break answer;
        }
        assert!(matches!(expected, Expected::Status(wanted) if wanted == answer.status), "{name}: {:?}", answer.text());
        assert!(stage.home.stats(name).requests <= FAILURES, "{name}: the circuit does not open");
    };
    assert_eq!(refused.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok()).map(|seconds| seconds <= 2), Some(true));
    assert_eq!(refused.json()["error"]["code"], CIRCUIT_OPEN, "{name}");
    assert_eq!(stage.home.stats(name).requests, FAILURES, "{name}: how many requests reached the engine");
    let told = events(endpoint, after);
    let told: Vec<_> = told.iter().filter(|event| event.kind == EventKind::Circuit && event.data["circuit"] == "open").collect();
    assert_eq!(told.len(), 1, "{name}: {told:?}");
}

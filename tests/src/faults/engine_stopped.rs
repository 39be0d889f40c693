//! An engine is stopped (SIGSTOP): it lives, and does nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::stage::{EndAtLast, chat, pause, pid_in, real_config, timing, wait_for, wait_ready};
use super::{Row, Stage};
use crate::home::SOON;
use crate::processes::{is_alive, signal};
use crate::{Behaviour, TestHome, wait_until};

pub(super) const ROW: Row = Row {
    number: 3,
    fault: "SIGSTOP of an engine",
    holds: "unhealthy by its policy, replaced, its streams end, others answer as before",
    count: 100,
    prepare,
    round,
};

/// A bad answer takes this long, and four of them in a row are one too many; half as many make it unhealthy.
const TIMEOUT: Duration = Duration::from_millis(150);
const INTERVAL: Duration = Duration::from_millis(100);

fn prepare(home: &TestHome) {
    let behaviour = Behaviour { chunks: 4_000, chunk_ms: 5, ..Behaviour::default() };
    let mut config = home.config("hung", &behaviour);
    config["healthcheck"] = json!({ "interval": "100ms", "timeout": "150ms", "retries": 2, "start_period": "20s" });
    config["restart_policy"] = json!({ "initial_delay": "20ms", "max_delay": "40ms", "max_retries": 1_000_000 });
    if let Some(real) = real_config(home, "hung") {
        for key in ["model", "engine"] {
            config[key] = real[key].clone();
        }
    }
    home.write_config("hung", &config);
    home.add("other", &Behaviour::default());
    home.orch(&["up", "hung", "other"]).assert_ok();
}

fn round(stage: &mut Stage<'_>) {
    let endpoint = stage.home.endpoint();
    let pid = wait_ready(&endpoint, "hung");
    let alone = latencies(&endpoint, |done| {
        pause(Duration::from_millis(250));
        done();
    });
    let mut stream = chat(&endpoint, "hung", "hello", true).unwrap();
    assert!(stream.next_piece().unwrap().is_some());
    pause(stage.random.up_to_ms(100));
    let stopped = Instant::now();
    signal(pid, Signal::STOP);
    let mut unhealthy_after = Duration::ZERO;
    let beside = latencies(&endpoint, |done| {
        wait_for(&endpoint, "hung", "it is unhealthy or was replaced", |found| {
            found["summary"]["health"] != "healthy" || pid_in(found) != Some(pid)
        });
        unhealthy_after = stopped.elapsed();
        wait_for(&endpoint, "hung", "it is replaced", |found| found["summary"]["state"] == "ready" && pid_in(found) != Some(pid));
        done();
    });
    let replaced_after = stopped.elapsed();
    let mut last = Vec::new();
    while let Some(piece) = stream.next_piece().unwrap() {
        last = piece;
    }
    assert!(String::from_utf8_lossy(&last).contains("\"error\""), "the stream of the stopped server ends with an error event");
    wait_until("the stopped one is gone", SOON, || (!is_alive(pid)).then_some(()));
    // Two rounds of questions, and what is under way when it is stopped.
    stage.timed("unhealthy", (TIMEOUT + INTERVAL) * 2 + TIMEOUT, unhealthy_after);
    // Four of them, a second to end in good order, and the start.
    stage.timed("replaced", (TIMEOUT + INTERVAL) * 4 + Duration::from_millis(1_500), replaced_after);
    for sample in alone {
        stage.timed("another's answer, before", None, sample);
    }
    for sample in beside {
        stage.timed("another's answer, meanwhile", None, sample);
    }
}

/// Asks the other instance again and again until `work` is done, and returns how long each answer took.
fn latencies(endpoint: &str, work: impl FnOnce(&dyn Fn())) -> Vec<Duration> {
    let ending = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut samples = Vec::new();
            while !ending.load(Ordering::SeqCst) {
                let (answer, took) = timing(|| chat(endpoint, "other", "hello", false).unwrap());
                assert_eq!(answer.status, 200);
                samples.push(took);
                pause(Duration::from_millis(5));
            }
            samples
        });
        let _ends = EndAtLast(&ending);
        work(&|| ending.store(true, Ordering::SeqCst));
        client.join().unwrap()
    })
}

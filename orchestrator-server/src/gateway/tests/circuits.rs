//! Engines that fail again and again are left alone, and are asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use orchestrator_core::event::EventKind;
use tokio::sync::watch;

use super::super::Position;
use super::rig::*;

const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// An engine that answers 500, or well, as it is told; and how many requests it got.
async fn moody() -> (std::net::SocketAddr, watch::Sender<bool>, Arc<AtomicUsize>) {
    let (is_well, seen) = watch::channel(false);
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let address = engine(move |mut wire, _| {
        let (is_well, counter) = (seen.clone(), Arc::clone(&counter));
        async move {
            while wire.request().await.is_some() {
                counter.fetch_add(1, Ordering::SeqCst);
                let is_well = *is_well.borrow();
                if is_well { wire.json("{}").await } else { wire.write(FAILED).await }
            }
        }
    })
    .await;
    (address, is_well, requests)
}

fn position(rig: &Rig) -> Position {
    rig.stations.all().iter().find(|(name, _)| *name == "m").map_or(Position::Closed, |(_, station)| station.breaker.position())
}

/// The messages of the events about circuits.
fn told(scheduler: &Scheduler) -> Vec<String> {
    scheduler.events().into_iter().filter(|event| event.kind == EventKind::Circuit).map(|event| event.message).collect()
}

/// Has five requests fail in a row, and returns a moment before the circuit opened.
async fn fail_five_times(rig: &Rig) -> Instant {
    for _ in 0..4 {
        assert_eq!(rig.chat(MODEL).await.0, 500);
    }
    let before = Instant::now();
    assert_eq!(rig.chat(MODEL).await.0, 500);
    before
}

/// Less than the shortest time that a circuit stays open.
const STILL_OPEN: Duration = Duration::from_millis(800);

/// Does something, and again where the end of it came so late after the circuit opened (its first result) that a request may
/// have been let through: a machine that stands still for a second is no fault of ours.
async fn while_open<T>(mut attempt: impl AsyncFnMut() -> (Instant, T)) -> T {
    for _ in 0..20 {
        let (opened, outcome) = attempt().await;
        if opened.elapsed() < STILL_OPEN {
            return outcome;
        }
    }
    panic!("the machine is too slow to see an open circuit");
}

#[tokio::test]
async fn five_failures_open_the_circuit_and_the_sixth_request_reaches_nobody() {
    let (address, _is_well, requests) = moody().await;
    let (scheduler, rig, (status, headers, answer)) = while_open(async || {
        requests.store(0, Ordering::SeqCst);
        let scheduler = Scheduler::new([address]);
        let rig = Rig::new(&scheduler).await;
        let opened = fail_five_times(&rig).await;
        let sixth = rig.chat(MODEL).await;
        (opened, (scheduler, rig, sixth))
    })
    .await;
    let error = error_of(&answer);
    assert_eq!((status, error["code"].as_str()), (503, Some("instance.circuit_open")));
    // A second, a tenth more or less, in whole seconds.
    assert!(headers["retry-after"] == "1" || headers["retry-after"] == "2", "{headers:?}");
    assert!(error["message"].as_str().unwrap().contains("it answered 500"), "{error}");
    assert_eq!((requests.load(Ordering::SeqCst), scheduler.held()), (5, 0));
    assert_eq!(position(&rig), Position::Open);
    let told = told(&scheduler);
    assert!(told.len() == 1 && told[0].contains("5 requests in a row (it answered 500)"), "{told:?}");
}

#[tokio::test]
async fn an_engine_that_answers_again_is_found_by_one_request_and_gets_all_of_them() {
    let (address, is_well, requests) = moody().await;
    let scheduler = Scheduler::new([address]);
    let rig = Rig::new(&scheduler).await;
    for _ in 0..5 {
        rig.chat(MODEL).await;
    }
    is_well.send_replace(true);
    let begun = Instant::now();
    while rig.chat(MODEL).await.0 != 200 {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed().as_millis() >= 500, "it was left alone for a while");
    assert_eq!((rig.chat(MODEL).await.0, requests.load(Ordering::SeqCst)), (200, 7));
    assert_eq!(position(&rig), Position::Closed);
    assert!(told(&scheduler)[1].contains("answers again"), "{:?}", told(&scheduler));
}

#[tokio::test]
async fn another_server_of_the_instance_is_not_judged_by_the_one_before() {
    let (address, _, _) = moody().await;
    let (healthy, is_well, _) = moody().await;
    is_well.send_replace(true);
    let scheduler = Scheduler::new([address, address, address, address, address, healthy]);
    let rig = Rig::new(&scheduler).await;
    for _ in 0..5 {
        rig.chat(MODEL).await;
    }
    assert_eq!(position(&rig), Position::Open);
    scheduler.replace_server();
    assert_eq!(rig.chat(MODEL).await.0, 200);
    assert_eq!(position(&rig), Position::Closed);
    assert!(told(&scheduler)[1].contains("a new server"), "{:?}", told(&scheduler));
}

#[tokio::test]
async fn refusals_of_what_a_client_asked_for_open_nothing() {
    for status in ["400 Bad Request", "404 Not Found", "429 Too Many Requests", "501 Not Implemented"] {
        let address = engine(move |mut wire, _| async move {
            while wire.request().await.is_some() {
                wire.write(&format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}")).await;
            }
        })
        .await;
        let scheduler = Scheduler::new([address]);
        let rig = Rig::new(&scheduler).await;
        for _ in 0..12 {
            assert_eq!(rig.chat(MODEL).await.0.to_string(), status[..3]);
        }
        assert_eq!(position(&rig), Position::Closed);
    }
}

#[tokio::test]
async fn broken_connections_count_and_the_client_hears_of_them_and_not_of_the_circuit() {
    let address = nowhere().await;
    let ([first, second], [third, (status, _, answer)]) = while_open(async || {
        let rig = Rig::new(&Scheduler::new([address])).await;
        let first = [rig.chat(MODEL).await, rig.chat(MODEL).await];
        let opened = Instant::now();
        (opened, (first, [rig.chat(MODEL).await, rig.chat(MODEL).await]))
    })
    .await;
    // Each of them asks twice: the third one's second try is not made any more.
    for (status, _, answer) in [first, second, third] {
        assert_eq!((status, error_of(&answer)["code"].as_str()), (503, Some("instance.unavailable")));
    }
    assert_eq!((status, error_of(&answer)["code"].as_str()), (503, Some("instance.circuit_open")));
    assert!(answer.contains("it takes no connection"), "{answer}");
}

#[tokio::test]
async fn a_trial_whose_client_goes_away_does_not_keep_the_next_one_out() {
    let (address, is_well, _) = moody().await;
    let (stalling, mut stalls) = tokio::sync::mpsc::unbounded_channel();
    let silent = engine(move |mut wire, _| {
        let stalling = stalling.clone();
        async move {
            wire.request().await.unwrap();
            stalling.send(()).unwrap();
            wire.closed().await;
        }
    })
    .await;
    let scheduler = Scheduler::new([address; 5]);
    let rig = Rig::new(&scheduler).await;
    for _ in 0..5 {
        rig.chat(MODEL).await;
    }
    is_well.send_replace(true);
    // The trial goes to an engine that says nothing, and its client leaves.
    scheduler.go_to(silent);
    let begun = Instant::now();
    while stalls.try_recv().is_err() {
        assert!(begun.elapsed() < SOON);
        let client = rig.raw_chat().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(client);
    }
    scheduler.until_free().await;
    scheduler.go_to(address);
    assert_eq!(rig.chat(MODEL).await.0, 200);
}

#[tokio::test]
async fn a_sibling_serves_while_a_circuit_is_open_and_one_request_finds_out_when_that_is_over() {
    let (failing, is_well, requests) = moody().await;
    let (healthy, healthy_is_well, _) = moody().await;
    healthy_is_well.send_replace(true);
    let (rig, answers) = while_open(async || {
        requests.store(0, Ordering::SeqCst);
        let scheduler = Scheduler::new([failing]).beside(healthy);
        let rig = Rig::new(&scheduler).await;
        let opened = fail_five_times(&rig).await;
        assert_eq!(position(&rig), Position::Open);
        let usual = rig.chat(MODEL).await;
        // A place that was given before the circuit opened is changed for one beside it.
        *scheduler.shunned_until.lock().unwrap() = None;
        let late = rig.chat(MODEL).await;
        (opened, (rig, [usual, late]))
    })
    .await;
    for (status, headers, _) in answers {
        assert_eq!((status, headers[super::super::INSTANCE_HEADER].as_bytes()), (200, &b"n"[..]));
    }
    assert_eq!(requests.load(Ordering::SeqCst), 5, "the failing one is left alone");
    is_well.send_replace(true);
    let begun = Instant::now();
    while position(&rig) != Position::Closed {
        assert!(begun.elapsed() < SOON);
        assert_eq!(rig.chat(MODEL).await.0, 200, "nobody is refused meanwhile");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rig.chat(MODEL).await.1[super::super::INSTANCE_HEADER].as_bytes(), b"m", "it gets requests again");
}

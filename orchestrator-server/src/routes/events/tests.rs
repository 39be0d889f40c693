//! A follower sees each event once, in order, however storing and sending interleave.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use orchestrator_core::event::{EventKind, Timestamp};

use super::*;

#[derive(Clone)]
struct Log {
    stored: Arc<Mutex<Vec<Event>>>,
    live: broadcast::Sender<Event>,
}

impl Log {
    fn new(capacity: usize) -> Self {
        Self { stored: Arc::default(), live: broadcast::channel(capacity).0 }
    }

    fn store(&self, sequence: u64) -> Event {
        let event = Event {
            sequence,
            at: Timestamp::now(),
            kind: EventKind::Daemon,
            instance: None,
            message: format!("event {sequence}"),
            data: serde_json::Value::Null,
        };
        self.stored.lock().unwrap().push(event.clone());
        event
    }

    fn record(&self, sequence: u64) {
        let _ = self.live.send(self.store(sequence));
    }
}

impl EventSource for Log {
    async fn after(&self, sequence: u64, limit: usize) -> Result<Vec<Event>, Problem> {
        let stored = self.stored.lock().unwrap();
        Ok(stored.iter().filter(|event| event.sequence > sequence).take(limit).cloned().collect())
    }

    async fn newest(&self) -> Result<u64, Problem> {
        Ok(self.stored.lock().unwrap().last().map_or(0, |event| event.sequence))
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.live.subscribe()
    }
}

/// Takes what is there now.
fn ready(events: &mut (impl Stream<Item = Result<Event, Problem>> + Unpin)) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        numbers.push(event.unwrap().sequence);
    }
    numbers
}

#[tokio::test]
async fn what_was_missed_comes_first_and_then_what_happens() {
    let log = Log::new(16);
    (1..=3).for_each(|sequence| log.record(sequence));
    let mut events = Box::pin(follow(log.clone(), Some(1)).await.unwrap().0);
    log.record(4);
    assert_eq!(ready(&mut events), [2, 3, 4]);
    log.record(5);
    assert_eq!(ready(&mut events), [5]);
}

#[tokio::test]
async fn without_a_number_only_new_events_come() {
    let log = Log::new(16);
    log.record(1);
    let mut events = Box::pin(follow(log.clone(), None).await.unwrap().0);
    log.record(2);
    assert_eq!(ready(&mut events), [2]);
}

#[tokio::test]
async fn a_follower_that_fell_behind_catches_up_from_the_store() {
    let log = Log::new(4);
    let mut events = Box::pin(follow(log.clone(), Some(0)).await.unwrap().0);
    (1..=1_200).for_each(|sequence| log.record(sequence));
    assert_eq!(ready(&mut events), (1..=1_200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_gap_in_what_is_sent_is_filled_from_the_store() {
    let log = Log::new(16);
    let mut events = Box::pin(follow(log.clone(), Some(0)).await.unwrap().0);
    log.record(1);
    assert_eq!(ready(&mut events), [1]);
    log.store(2);
    log.store(3);
    log.record(4);
    assert_eq!(ready(&mut events), [2, 3, 4]);
}

#[tokio::test]
async fn an_event_that_is_sent_before_it_can_be_read_is_not_lost() {
    let log = Log::new(16);
    let mut events = Box::pin(follow(log.clone(), Some(0)).await.unwrap().0);
    log.record(1);
    assert_eq!(ready(&mut events), [1]);
    let event = log.store(5);
    log.stored.lock().unwrap().pop();
    let _ = log.live.send(event);
    assert_eq!(ready(&mut events), [5]);
}

#[tokio::test]
async fn a_number_from_a_lost_database_does_not_silence_the_stream() {
    let log = Log::new(16);
    log.record(1);
    let mut events = Box::pin(follow(log.clone(), Some(9_000)).await.unwrap().0);
    log.record(2);
    assert_eq!(ready(&mut events), [2]);
}

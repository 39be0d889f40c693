//! What is counted from events: loads, failures, restarts. One task listens; it is on nobody's way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orchestrator_core::event::{Event, EventKind, Timestamp};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::histogram::Histogram;

/// What events told since the daemon began.
#[derive(Debug, Default)]
pub(crate) struct Observed(Mutex<Counts>);

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) events: BTreeMap<String, u64>,
    pub(super) instances: BTreeMap<String, InstanceCounts>,
}

#[derive(Debug, Default)]
pub(super) struct InstanceCounts {
    pub(super) starts: u64,
    pub(super) loads: Histogram,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) restarts: BTreeMap<String, u64>,
    /// When the start that is under way began.
    begun: Option<Timestamp>,
    /// The failure that the next start follows.
    failed: Option<String>,
}

/// Counts events until there are no more.
pub(crate) async fn observe(observed: Arc<Observed>, mut events: broadcast::Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(event) => observed.lock().take(&event),
            Err(RecvError::Lagged(missed)) => *observed.lock().events.entry("missed".to_owned()).or_default() += missed,
            Err(RecvError::Closed) => return,
        }
    }
}

impl Observed {
    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counting does not panic half-way, so what a poisoned lock guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn take(&mut self, event: &Event) {
        let kind = serde_json::to_value(event.kind).ok();
        let kind = kind.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown");
        *self.events.entry(kind.to_owned()).or_default() += 1;
        if let (EventKind::InstanceState, Some(instance)) = (event.kind, &event.instance) {
            let word = |key: &str| event.data.get(key).and_then(serde_json::Value::as_str);
            self.instances.entry(instance.to_string()).or_default().changed(word("to"), word("failure"), event.at);
        }
    }
}

impl InstanceCounts {
    fn changed(&mut self, to: Option<&str>, failure: Option<&str>, at: Timestamp) {
        match to {
            Some("starting") => {
                self.starts += 1;
                self.begun = Some(at);
                if let Some(cause) = self.failed.take() {
                    *self.restarts.entry(cause).or_default() += 1;
                }
            }
            Some("ready") => {
                // One that was taken over has no beginning here, and one that recovers was loaded before.
                if let Some(begun) = self.begun.take() {
                    let took = u64::try_from(at.as_millis() - begun.as_millis()).unwrap_or(0);
                    self.loads.add(Duration::from_millis(took));
                }
            }
            Some("backoff" | "failed") => {
                self.begun = None;
                let cause = failure.unwrap_or("unknown").to_owned();
                *self.failures.entry(cause.clone()).or_default() += 1;
                // After `failed` a person starts it, and that is no restart.
                self.failed = (to == Some("backoff")).then_some(cause);
            }
            Some("stopped") => (self.begun, self.failed) = (None, None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use orchestrator_core::InstanceName;
    use serde_json::json;

    use super::*;

    fn counts(changes: &[(&str, Option<&str>, i64)]) -> Counts {
        let mut counts = Counts::default();
        for (sequence, (to, failure, millis)) in (1..).zip(changes) {
            counts.take(&Event {
                sequence,
                at: Timestamp::from_millis(*millis).unwrap(),
                kind: EventKind::InstanceState,
                instance: Some(InstanceName::try_new("m").unwrap()),
                message: String::new(),
                data: json!({ "to": to, "failure": failure }),
            });
        }
        counts
    }

    fn of(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_load_is_timed_from_its_start_to_the_first_good_answer() {
        let counts = counts(&[
            ("starting", None, 0),
            ("loading", None, 10),
            ("ready", None, 2_000),
            ("unhealthy", None, 3_000),
            ("ready", None, 4_000),
        ]);
        let instance = &counts.instances["m"];
        assert_eq!((instance.starts, instance.loads.read().count), (1, 1));
        assert!((instance.loads.read().sum - 2.0).abs() < 1e-9);
        assert_eq!(counts.events, of(&[("instance_state", 5)]));
    }

    #[test]
    fn a_restart_has_the_cause_of_the_failure_before_it() {
        let counts = counts(&[
            ("starting", None, 0),
            ("backoff", Some("signal"), 1),
            ("starting", None, 2),
            ("backoff", Some("out_of_memory"), 3),
            ("starting", None, 4),
            ("failed", Some("bad_argument"), 5),
            ("starting", None, 6),
        ]);
        let instance = &counts.instances["m"];
        assert_eq!(instance.failures, of(&[("signal", 1), ("out_of_memory", 1), ("bad_argument", 1)]));
        assert_eq!(instance.restarts, of(&[("signal", 1), ("out_of_memory", 1)]));
        assert_eq!((instance.starts, instance.loads.read().count), (4, 0));
    }

    #[test]
    fn a_server_that_was_taken_over_was_not_loaded_here() {
        let counts = counts(&[("loading", None, 0), ("ready", None, 5)]);
        assert_eq!(counts.instances["m"].loads.read().count, 0);
    }
}

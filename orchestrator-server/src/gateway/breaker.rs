//! The circuit of one instance as the gateway's requests share it.
//!
//! A request to an instance that answers reads one atomic and nothing else; the lock around the policy is taken while
//! something is held against the server, for moments and never across an await.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use orchestrator_core::event::{EventDraft, EventKind};
use orchestrator_core::{ErrorCode, InstanceName, Problem};
use serde_json::json;

use super::circuit::{Change, Circuit, FAILURES, Passage, Position, Refused, ServerMark};

/// Lets requests through to one instance, or not.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Whether anything is held against the server.
    is_marked: AtomicBool,
    circuit: Mutex<Circuit>,
}

/// A request that was let through, until it is known how it went. Dropping it says that nobody will know.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    passage: Passage,
    is_settled: bool,
}

impl Breaker {
    /// Asks to let a request through. `server` is asked for only where it matters.
    pub(super) fn admit(&self, server: impl FnOnce() -> ServerMark) -> (Result<Pass<'_>, Refused>, Option<Change>) {
        let pass = |passage| Pass { breaker: self, passage, is_settled: false };
        if !self.is_marked.load(Ordering::Acquire) {
            return (Ok(pass(Passage::Usual)), None);
        }
        let (passage, change) = self.change(|circuit| circuit.admit(server(), Instant::now()));
        (passage.map(pass), change)
    }

    /// Returns what others see.
    pub(crate) fn position(&self) -> Position {
        if self.is_marked.load(Ordering::Acquire) { self.lock().position() } else { Position::Closed }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.lock();
        let result = change(&mut circuit);
        self.is_marked.store(!circuit.is_clean(), Ordering::Release);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        // The policy does not panic half-way, so what a poisoned lock guards is whole.
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Returns whether this request finds out for all others whether the server answers again.
    pub(super) fn is_trial(&self) -> bool {
        self.passage == Passage::Trial
    }

    /// The server answered.
    pub(super) fn succeeded(mut self, server: impl FnOnce() -> ServerMark) -> Option<Change> {
        self.is_settled = true;
        if !self.breaker.is_marked.load(Ordering::Acquire) {
            return None;
        }
        self.breaker.change(|circuit| circuit.succeed(server(), self.passage))
    }

    /// The server failed.
    pub(super) fn failed(mut self, server: ServerMark, cause: &str) -> Option<Change> {
        self.is_settled = true;
        // Without chance the times are only less spread.
        let chance = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
        self.breaker.change(|circuit| circuit.fail(server, self.passage, cause, Instant::now(), chance))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_settled && self.passage == Passage::Trial {
            self.breaker.change(|circuit| circuit.abandon(Passage::Trial, Instant::now()));
        }
    }
}

/// Says to a client that the instance is left alone.
pub(super) fn problem(instance: &InstanceName, refused: Refused) -> Problem {
    let title = format!("`{instance}` failed {FAILURES} requests in a row and is left alone for a while");
    let hint = format!("send the request again after {}; `orch describe {instance}` shows what happened", shown(refused.wait));
    Problem::new(ErrorCode::CircuitOpen, title).with_cause(refused.cause).with_hint(hint).with_retry_after(refused.wait)
}

/// Writes down what happened to a circuit. That it opens again and again is told once.
pub(super) fn event(instance: &InstanceName, change: &Change, cause: &str) -> Option<EventDraft> {
    let (message, data) = match change {
        Change::Opened { again: true, .. } => return None,
        Change::Opened { pause, again: false } => (
            format!(
                "`{instance}` failed {FAILURES} requests in a row ({cause}): its circuit opens, and after {} one request tries again",
                shown(*pause)
            ),
            json!({ "circuit": "open", "pause_ms": u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "cause": cause }),
        ),
        Change::Closed { by_new_server: true } => {
            (format!("`{instance}` has a new server: its circuit closes"), json!({ "circuit": "closed", "cause": "new_server" }))
        }
        Change::Closed { by_new_server: false } => {
            (format!("`{instance}` answers again: its circuit closes"), json!({ "circuit": "closed", "cause": "answered" }))
        }
    };
    Some(EventDraft::new(EventKind::Circuit, message).about(instance).with_data(data))
}

fn shown(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64().max(0.1))
}

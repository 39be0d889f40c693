//! When an instance is left alone because it fails one request after the other: the policy, pure. Time and chance are
//! passed in; who performs it is [`super::breaker`].
//!
//! ```text
//!            five failures in a row             its time is over
//!  Closed ───────────────────────────► Open ────────────────────► HalfOpen: one request is let through
//!    ▲ ▲                                ▲  ▲                         │  │
//!    │ └── another server of the        │  └────── it fails ─────────┘  │
//!    │     instance, from any state     └─────── it is given up ────────┤
//!    └──────────────────────────── it succeeds ─────────────────────────┘
//! ```

use std::time::{Duration, Instant};

/// How many failures in a row open a circuit.
pub(crate) const FAILURES: u32 = 5;
/// How long a circuit stays open the first time; each further time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest time that a circuit stays open, and the longest that one trial holds up the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What is told while a trial is under way and nobody knows how it ends.
pub(super) const TRIAL_WAIT: Duration = Duration::from_secs(1);

/// Tells one server of an instance from the next.
pub(crate) type ServerMark = u64;

/// What became of the requests to one instance lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Circuit {
    /// The server it is about.
    server: Option<ServerMark>,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Requests pass; so many in a row failed.
    Closed { failures: u32 },
    /// No request passes before `until`.
    Open { until: Instant, openings: u32, cause: String },
    /// One request was let through; when it has told nothing by `next`, another one may.
    HalfOpen { next: Instant, openings: u32, cause: String },
}

/// How a request was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// As every request.
    Usual,
    /// As the one that finds out whether the server answers again.
    Trial,
}

/// Why a request is not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// After how long it makes sense to try again.
    pub(crate) wait: Duration,
    /// The last failure.
    pub(crate) cause: String,
}

/// What others see of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Requests pass.
    Closed,
    /// No request passes.
    Open,
    /// One request was let through.
    HalfOpen,
}

impl Position {
    /// Every position.
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Returns its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What happened to a circuit, for whoever tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It opened.
    Opened {
        /// For how long.
        pause: Duration,
        /// Whether a trial failed: it was open before.
        again: bool,
    },
    /// It closed.
    Closed {
        /// Whether that is because the instance has another server.
        by_new_server: bool,
    },
}

impl Default for Circuit {
    fn default() -> Self {
        Self { server: None, state: State::Closed { failures: 0 } }
    }
}

impl Circuit {
    /// Asks to let a request through to the server that the instance has now.
    pub(crate) fn admit(&mut self, server: ServerMark, now: Instant) -> (Result<Passage, Refused>, Option<Change>) {
        let change = self.notice(server);
        let passage = match &self.state {
            State::Closed { .. } => Ok(Passage::Usual),
            State::Open { until, cause, .. } if *until > now => Err(Refused { wait: *until - now, cause: cause.clone() }),
            State::HalfOpen { next, cause, .. } if *next > now => Err(Refused { wait: TRIAL_WAIT, cause: cause.clone() }),
            State::Open { openings, cause, .. } | State::HalfOpen { openings, cause, .. } => {
                self.state = State::HalfOpen { next: now + LONGEST_PAUSE, openings: *openings, cause: cause.clone() };
                Ok(Passage::Trial)
            }
        };
        (passage, change)
    }

    /// A server that is not the one the circuit is about begins with a clean slate.
    fn notice(&mut self, server: ServerMark) -> Option<Change> {
        if self.server.replace(server).is_none_or(|known| known == server) {
            return None;
        }
        let was_closed = self.position() == Position::Closed;
        self.state = State::Closed { failures: 0 };
        (!was_closed).then_some(Change::Closed { by_new_server: true })
    }

    /// A request was answered.
    pub(crate) fn succeed(&mut self, server: ServerMark, passage: Passage) -> Option<Change> {
        if self.server.is_some_and(|known| known != server) {
            return None;
        }
        match (&self.state, passage) {
            (State::HalfOpen { .. }, Passage::Trial) => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed { by_new_server: false })
            }
            (State::Closed { .. }, _) => {
                self.state = State::Closed { failures: 0 };
                None
            }
            // It was let through before the circuit opened, and tells nothing of now.
            (State::Open { .. } | State::HalfOpen { .. }, _) => None,
        }
    }

    /// A request failed. `chance` is a number in 0..1 that spreads the times.
    pub(crate) fn fail(&mut self, server: ServerMark, passage: Passage, cause: &str, now: Instant, chance: f64) -> Option<Change> {
        if self.server.is_some_and(|known| known != server) {
            if self.position() != Position::Closed {
                // Who is let through is looked at: this server was there before the one the circuit is about.
                return None;
            }
            self.state = State::Closed { failures: 0 };
        }
        self.server = Some(server);
        let openings = match (&mut self.state, passage) {
            (State::Closed { failures }, _) => {
                *failures += 1;
                if *failures < FAILURES {
                    return None;
                }
                0
            }
            (State::HalfOpen { openings, .. }, Passage::Trial) => *openings,
            (State::Open { .. } | State::HalfOpen { .. }, _) => return None,
        };
        let pause = pause(openings, chance);
        self.state = State::Open { until: now + pause, openings: openings.saturating_add(1), cause: cause.to_owned() };
        Some(Change::Opened { pause, again: openings > 0 })
    }

    /// A request was given up before it told anything: another one may try.
    pub(crate) fn abandon(&mut self, passage: Passage, now: Instant) {
        if let (State::HalfOpen { openings, cause, .. }, Passage::Trial) = (&mut self.state, passage) {
            self.state = State::Open { until: now, openings: *openings, cause: std::mem::take(cause) };
        }
    }

    /// Returns what others see.
    pub(crate) fn position(&self) -> Position {
        match self.state {
            State::Closed { .. } => Position::Closed,
            State::Open { .. } => Position::Open,
            State::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// Returns whether nothing is held against the server.
    pub(crate) fn is_clean(&self) -> bool {
        self.state == State::Closed { failures: 0 }
    }
}

/// How long a circuit stays open after it was open `openings` times: twice as long each time, a tenth more or less.
fn pause(openings: u32, chance: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(openings).unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    doubled.mul_f64(chance.clamp(0.0, 1.0).mul_add(0.2, 0.9)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;

//! What requests count for one instance. Atomics only: it is written on the way of every request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::histogram::Histogram;
use crate::gateway::Tokens;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads it.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The routes that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Chats.
    Chat,
    /// Completions.
    Completions,
    /// Embeddings.
    Embeddings,
    /// The list of models.
    Models,
    /// What there is no route for.
    Other,
}

impl Route {
    /// Every route.
    pub(crate) const ALL: [Self; 5] = [Self::Chat, Self::Completions, Self::Embeddings, Self::Models, Self::Other];

    /// Returns the route of a path.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/chat/completions" => Self::Chat,
            "/v1/completions" => Self::Completions,
            "/v1/embeddings" => Self::Embeddings,
            _ if path.starts_with("/v1/models") => Self::Models,
            _ => Self::Other,
        }
    }

    /// Returns the value of the label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Models => "/v1/models",
            Self::Other => "other",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a status from 200 (or 300) on.
    Success,
    /// With a status from 400 on.
    Client,
    /// With a status from 500 on.
    Server,
    /// The engine left the answer unfinished after its status.
    Broken,
    /// The client went before the end.
    Aborted,
}

impl Outcome {
    /// Every outcome.
    pub(crate) const ALL: [Self; 5] = [Self::Success, Self::Client, Self::Server, Self::Broken, Self::Aborted];

    /// Returns the outcome that a status is.
    pub(crate) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..400 => Self::Success,
            400..500 => Self::Client,
            500.. => Self::Server,
        }
    }

    /// Returns the value of the label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Client => "4xx",
            Self::Server => "5xx",
            Self::Broken => "broken",
            Self::Aborted => "aborted",
        }
    }
}

/// What requests count for one instance.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    ended: [[Counter; Outcome::ALL.len()]; Route::ALL.len()],
    in_flight: AtomicU64,
    /// From a request's arrival to its place in the instance: queues and starts.
    pub(crate) wait: Histogram,
    /// From a request's arrival to the first byte of its answer.
    pub(crate) first_byte: Histogram,
    /// From a request's arrival to the end of its answer.
    pub(crate) duration: Histogram,
    /// Tokens that were read.
    pub(crate) prompt_tokens: Counter,
    /// Tokens that were written.
    pub(crate) completion_tokens: Counter,
    /// Requests that were sent a second time.
    pub(crate) retries: Counter,
    /// How many times the circuit opened.
    pub(crate) openings: Counter,
    /// Requests that an open circuit refused.
    pub(crate) refusals: Counter,
}

impl Meters {
    /// A request came to the instance.
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request left the instance.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// An answer took so many tokens, where that is known.
    pub(crate) fn count(&self, tokens: Option<Tokens>) {
        if let Some(tokens) = tokens {
            self.prompt_tokens.add(tokens.prompt);
            self.completion_tokens.add(tokens.completion);
        }
    }

    /// A request ended.
    pub(crate) fn ended(&self, route: Route, outcome: Outcome, took: Duration) {
        self.ended[route as usize][outcome as usize].add(1);
        self.duration.add(took);
    }

    /// Returns how many requests are under way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns how many requests ended, by route and outcome, where there were any.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (Route, Outcome, u64)> {
        let each = |route: Route| Outcome::ALL.into_iter().map(move |outcome| (route, outcome));
        let all = Route::ALL.into_iter().flat_map(each);
        all.map(|(route, outcome)| (route, outcome, self.ended[route as usize][outcome as usize].get())).filter(|(_, _, count)| *count > 0)
    }
}

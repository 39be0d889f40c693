//! Events: what happened, numbered, stored, and streamed to whoever listens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::InstanceName;

/// A moment of the wall clock, for people and for the wire. Waits are measured with [`std::time::Instant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String")]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Returns the present moment.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// Returns the moment this many milliseconds after 1970 (UTC).
    #[must_use]
    pub fn from_millis(milliseconds: i64) -> Option<Self> {
        jiff::Timestamp::from_millisecond(milliseconds).ok().map(Self)
    }

    /// Returns the milliseconds since 1970 (UTC).
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Returns the whole seconds that have passed since then; 0 for a moment in the future.
    #[must_use]
    pub fn elapsed_seconds(self) -> u64 {
        let seconds = jiff::Timestamp::now().as_second() - self.0.as_second();
        u64::try_from(seconds).unwrap_or(0)
    }

    /// Takes the moment of the system's clock, where it is one that can be written.
    #[must_use]
    pub fn of_system_time(time: std::time::SystemTime) -> Option<Self> {
        jiff::Timestamp::try_from(time).ok().map(Self)
    }

    /// Returns the moment that lies `duration` after this one.
    #[must_use]
    pub fn after(self, duration: std::time::Duration) -> Self {
        self.0.checked_add(duration).map_or(self, Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The daemon started or stopped.
    Daemon,
    /// An instance changed its state.
    InstanceState,
    /// A server of an earlier daemon was taken over.
    InstanceAdopted,
    /// A long job began, progressed or ended.
    Operation,
    /// Tool calls of a model were judged.
    ToolCalls,
    /// An instance that fails requests is left alone for a while, or is asked again.
    Circuit,
    /// Something needs a person's attention.
    Warning,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number: each event has the next one.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub kind: EventKind,
    /// The instance it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceName>,
    /// One line for people.
    pub message: String,
    /// The same for programs.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}

/// An event that has no number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDraft {
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub kind: EventKind,
    /// The instance it concerns.
    pub instance: Option<InstanceName>,
    /// One line for people.
    pub message: String,
    /// The same for programs.
    pub data: serde_json::Value,
}

impl EventDraft {
    /// Describes something that happens now.
    #[must_use]
    pub fn new(kind: EventKind, message: impl Into<String>) -> Self {
        Self { at: Timestamp::now(), kind, instance: None, message: message.into(), data: serde_json::Value::Null }
    }

    /// Says which instance it concerns.
    #[must_use]
    pub fn about(mut self, instance: &InstanceName) -> Self {
        self.instance = Some(instance.clone());
        self
    }

    /// Adds the same for programs.
    #[must_use]
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.data = data;
        self
    }
}

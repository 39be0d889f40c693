//! How each kind of engine does, all its instances taken together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::{Health, InstanceSummary};
use crate::runtime::RuntimeKind;

/// How a kind of engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeStatus {
    /// At least one instance is healthy, and none is unhealthy or has failed.
    Online,
    /// Some instances are healthy, and some are unhealthy or have failed.
    Degraded,
    /// No instance is healthy.
    Offline,
}

impl RuntimeStatus {
    /// Returns the word as it stands in tables and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Offline => "offline",
        }
    }
}

/// A kind of engine and how it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeSummary {
    /// The kind.
    pub runtime: RuntimeKind,
    /// How it does.
    pub status: RuntimeStatus,
    /// How many instances it has, running or not.
    pub instances: usize,
    /// How many of them are healthy.
    pub healthy: usize,
    /// How many of them are unhealthy or have failed.
    pub ill: usize,
}

/// Sums up the instances of each of these kinds.
pub(super) fn sum_up(kinds: impl Iterator<Item = RuntimeKind>, instances: &[InstanceSummary]) -> Vec<RuntimeSummary> {
    let of = |runtime| {
        let its_own = || instances.iter().filter(move |instance| instance.runtime == runtime);
        let healthy = its_own().filter(|instance| instance.health == Health::Healthy).count();
        let ill = its_own().filter(|instance| matches!(instance.health, Health::Unhealthy | Health::Error)).count();
        RuntimeSummary { runtime, status: status(healthy, ill), instances: its_own().count(), healthy, ill }
    };
    kinds.map(of).collect()
}

const fn status(healthy: usize, ill: usize) -> RuntimeStatus {
    match (healthy, ill) {
        (0, _) => RuntimeStatus::Offline,
        (_, 0) => RuntimeStatus::Online,
        _ => RuntimeStatus::Degraded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_as_well_as_its_instances() {
        let cases = [
            (0, 0, RuntimeStatus::Offline),
            (0, 2, RuntimeStatus::Offline),
            (1, 0, RuntimeStatus::Online),
            (3, 0, RuntimeStatus::Online),
            (3, 1, RuntimeStatus::Degraded),
        ];
        for (healthy, ill, expected) in cases {
            assert_eq!(status(healthy, ill), expected, "{healthy} healthy, {ill} ill");
        }
    }
}

//! One row of `orch ps`: the stable, flat view of an instance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::Backend;
use crate::names::InstanceName;
use crate::runtime::RuntimeKind;

/// How well a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No server runs, or nothing was asked yet.
    Unknown,
    /// It runs and is not ready yet.
    Loading,
    /// It answers.
    Healthy,
    /// It answers badly or not at all.
    Unhealthy,
    /// It ended and could not be kept running.
    Error,
}

impl Health {
    /// Returns the word as it stands in tables and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Loading => "loading",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Error => "error",
        }
    }
}

/// One row of `orch ps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceSummary {
    /// The instance's name.
    pub name: InstanceName,
    /// The process id of its server.
    pub pid: Option<u32>,
    /// The port its server listens on, or will.
    pub port: Option<u16>,
    /// Its kind of engine.
    pub runtime: RuntimeKind,
    /// The kind of device it runs on.
    pub backend: Backend,
    /// The device, such as `cpu` or `cuda:0`.
    pub device: String,
    /// Its model, in short.
    pub model: String,
    /// Its state in one word, as in [`super::InstanceState::name`].
    pub state: String,
    /// How well it does.
    pub health: Health,
    /// For how many seconds its server has run.
    pub uptime_seconds: Option<u64>,
    /// The memory of its server's whole process tree, in MiB.
    pub memory_mb: Option<u64>,
    /// The memory of GPUs that its server's whole process tree holds, in MiB, where the GPUs tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_mb: Option<u64>,
    /// How many times its server was started again by itself since the last `up`.
    pub restarts: u32,
}

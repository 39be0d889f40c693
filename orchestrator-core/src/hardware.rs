//! The trait [`HardwareProbe`]: what this machine has.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::spec::Backend;

/// What this machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hardware {
    /// The processor's name, where the system tells it.
    pub cpu_name: Option<String>,
    /// How many processors we may use.
    pub cpu_count: u32,
    /// The memory of the machine (or of our container), in bytes.
    pub memory_total_bytes: u64,
    /// The memory that a new program could take, in bytes.
    pub memory_available_bytes: u64,
    /// The GPUs that were found. None is a normal answer.
    pub devices: Vec<Device>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// How it is driven.
    pub backend: Backend,
    /// Its number among those of its kind, from 0.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its memory, in bytes.
    pub memory_total_bytes: u64,
    /// Its free memory, in bytes.
    pub memory_free_bytes: u64,
}

/// How much of a GPU's memory one process holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceUse {
    /// How the GPU is driven.
    pub backend: Backend,
    /// Its number among those of its kind, from 0.
    pub index: u32,
    /// The process.
    pub pid: u32,
    /// What it holds, in bytes.
    pub memory_bytes: u64,
}

/// Looks at the machine.
#[async_trait]
pub trait HardwareProbe: Send + Sync {
    /// Returns what is there now. What cannot be seen is left out. Called every few seconds.
    async fn probe(&self) -> Hardware;

    /// Returns which process holds how much memory of which GPU, where the GPUs tell.
    async fn device_uses(&self) -> Vec<DeviceUse> {
        Vec::new()
    }
}

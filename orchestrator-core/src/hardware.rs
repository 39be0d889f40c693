//! The trait [`HardwareProbe`], what it sees, and which GPU an instance means.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::spec::Backend;
use crate::runtime::RuntimeKind;

/// What this machine has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Hardware {
    /// The processor's name, where the system tells it.
    pub cpu_name: Option<String>,
    /// How many processors we may use.
    pub cpu_count: u32,
    /// The memory of the machine (or of our container), in bytes.
    pub memory_total_bytes: u64,
    /// The memory that a new program could take, in bytes.
    pub memory_available_bytes: u64,
    /// The GPUs that were found, each once, however many ways it was seen by. None is a normal answer.
    pub devices: Vec<Device>,
    /// What engines say that they could use; only where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<EngineDevices>,
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
    /// Its free memory, in bytes, where that is told.
    #[serde(default)]
    pub memory_free_bytes: Option<u64>,
    /// Whether its memory is the machine's own.
    #[serde(default)]
    pub unified_memory: bool,
    /// How busy it is, in percent, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_percent: Option<u8>,
    /// The version of its driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What NVIDIA calls its compute capability, such as `9.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<String>,
    /// Where it is plugged in, such as `0000:65:00.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci_bus_id: Option<String>,
    /// Its identity for its whole life, such as `GPU-6f4e…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The ways it was seen by; the first one gave its memory.
    #[serde(default)]
    pub seen_by: Vec<DeviceSource>,
}

/// A way to see GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeviceSource {
    /// NVIDIA's management library.
    Nvml,
    /// The kernel's files about AMD's GPUs.
    Sysfs,
    /// A Vulkan driver.
    Vulkan,
}

impl DeviceSource {
    /// Returns its name as people know it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nvml => "NVML",
            Self::Sysfs => "sysfs",
            Self::Vulkan => "Vulkan",
        }
    }
}

impl Device {
    /// Describes a GPU of which only this is known.
    #[must_use]
    pub fn new(backend: Backend, index: u32, name: impl Into<String>, memory_total_bytes: u64) -> Self {
        Self {
            backend,
            index,
            name: name.into(),
            memory_total_bytes,
            memory_free_bytes: None,
            unified_memory: false,
            busy_percent: None,
            driver: None,
            compute_capability: None,
            pci_bus_id: None,
            uuid: None,
            seen_by: Vec::new(),
        }
    }

    /// Returns the memory that a new program could take, in bytes; all of it, where what is free is not told.
    #[must_use]
    pub fn memory_available_bytes(&self) -> u64 {
        self.memory_free_bytes.unwrap_or(self.memory_total_bytes)
    }

    /// Returns its kind and number, such as `cuda:0`.
    #[must_use]
    pub fn short_name(&self) -> String {
        format!("{}:{}", self.backend.as_str(), self.index)
    }
}

/// Returns the place, in a machine's list of GPUs, of the one that a configuration names by its kind and number. One that is
/// not in the list gets a place behind it, so that it is not taken for another one.
#[must_use]
pub fn place_of(devices: &[Device], backend: Backend, index: u32) -> u32 {
    let exact = devices.iter().position(|device| device.backend == backend && device.index == index);
    // Vulkan drives every GPU and has numbers of its own: those with memory of their own come first.
    let by_vulkan = || {
        let of_kind = |unified: bool| devices.iter().enumerate().filter(move |(_, device)| device.unified_memory == unified);
        let nth = usize::try_from(index).unwrap_or(usize::MAX);
        of_kind(false).chain(of_kind(true)).nth(nth).map(|(place, _)| place).filter(|_| backend == Backend::Vulkan)
    };
    let place = exact.or_else(by_vulkan).and_then(|place| u32::try_from(place).ok());
    place.unwrap_or_else(|| u32::try_from(devices.len()).unwrap_or(u32::MAX).saturating_add(index))
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

/// What one engine says that it could use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineDevices {
    /// The kind of engine.
    pub runtime: RuntimeKind,
    /// Which engine of this kind: its file, or its environment.
    pub engine: String,
    /// What it could use besides the processor.
    pub devices: Vec<EngineDevice>,
    /// Why it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A device as an engine names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineDevice {
    /// The engine's name for it, such as `CUDA0`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its memory, in bytes, where the engine tells.
    pub memory_total_bytes: Option<u64>,
    /// Its free memory, in bytes, where the engine tells.
    pub memory_free_bytes: Option<u64>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn device(backend: Backend, index: u32, unified_memory: bool) -> Device {
        Device { unified_memory, ..Device::new(backend, index, "x", 1) }
    }

    #[test]
    fn a_configured_gpu_is_found_by_its_kind_and_number() {
        let two_kinds = [device(Backend::Cuda, 0, false), device(Backend::Cuda, 1, false), device(Backend::Rocm, 0, true)];
        let cases = [
            (Backend::Cuda, 0, 0),
            (Backend::Cuda, 1, 1),
            (Backend::Rocm, 0, 2),
            (Backend::Vulkan, 0, 0),
            (Backend::Vulkan, 2, 2),
            // Not there: no place of another one.
            (Backend::Cuda, 2, 5),
            (Backend::Vulkan, 3, 6),
            (Backend::Metal, 0, 3),
        ];
        for (backend, index, expected) in cases {
            assert_eq!(place_of(&two_kinds, backend, index), expected, "{backend:?} {index}");
        }
        let integrated_first = [device(Backend::Rocm, 0, true), device(Backend::Vulkan, 5, false)];
        assert_eq!(place_of(&integrated_first, Backend::Vulkan, 0), 1);
        assert_eq!(place_of(&[], Backend::Cuda, 1), 1);
    }

    #[test]
    fn a_device_of_an_earlier_version_still_loads() {
        let text = r#"{"backend":"cuda","index":0,"name":"H100","memory_total_bytes":80,"memory_free_bytes":3}"#;
        let expected = Device { memory_free_bytes: Some(3), ..Device::new(Backend::Cuda, 0, "H100", 80) };
        assert_eq!(serde_json::from_str::<Device>(text).ok(), Some(expected));
    }
}

//! What a Linux machine has: processors and memory, and GPUs in every way they can be seen.
//!
//! | way | which GPUs | what it needs |
//! | --- | --- | --- |
//! | [`nvml`] | NVIDIA's | `libnvidia-ml.so.1`, part of the driver |
//! | [`sysfs`] | AMD's | nothing |
//! | [`vulkan`] | the rest | `libvulkan.so.1` and a driver |
//!
//! None of them need be there, and none is linked: libraries are loaded at run time, each in a thread of its own
//! ([`lookout`]), once. Vulkan drivers are large and load much; they are asked where the kernel shows a GPU that none of the
//! others tells of, or where a person wants to know everything ([`LinuxHardware::thorough`]). What was seen is [`merge`]d.
//!
//! Apple's Metal is not here: nothing of this project runs on macOS yet.

mod host;
mod lookout;
mod merge;
mod nvml;
mod sysfs;
mod vulkan;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::hardware::{Device, DeviceUse, Hardware, HardwareProbe};

use host::{Host, HostMemory};
use lookout::{Lookout, Opener, Patience};
use sysfs::Sysfs;

/// Looks at a Linux machine.
pub struct LinuxHardware {
    host: Host,
    sysfs: Sysfs,
    nvml: Lookout,
    vulkan: Lookout,
    looks_everywhere: bool,
}

impl Default for LinuxHardware {
    fn default() -> Self {
        let host = Host::at("/proc".into(), "/sys/fs/cgroup".into());
        Self::with(host, Sysfs::default(), Arc::new(nvml::open), Arc::new(vulkan::open))
    }
}

/// What files tell.
#[derive(Debug, Default)]
struct Files {
    cpu_name: Option<String>,
    memory: HostMemory,
    amd: Vec<Device>,
    usable: Vec<Option<String>>,
}

impl LinuxHardware {
    /// Looks in every way there is, also where another one has told enough.
    #[must_use]
    pub fn thorough() -> Self {
        Self { looks_everywhere: true, ..Self::default() }
    }

    fn with(host: Host, sysfs: Sysfs, nvml: Opener, vulkan: Opener) -> Self {
        let lookout = |name, open| Lookout::new(name, open, Patience::default());
        Self { host, sysfs, nvml: lookout(nvml::NAME, nvml), vulkan: lookout(vulkan::NAME, vulkan), looks_everywhere: false }
    }

    async fn files(&self) -> Files {
        let (host, sysfs) = (self.host.clone(), self.sysfs.clone());
        let look = move || Files { cpu_name: host.cpu_name(), memory: host.memory(), amd: sysfs.devices(), usable: sysfs.usable() };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

#[async_trait]
impl HardwareProbe for LinuxHardware {
    async fn probe(&self) -> Hardware {
        let cpu_count = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
        let (files, nvidia) = tokio::join!(self.files(), self.nvml.devices());
        let told = |slot: &String| nvidia.iter().chain(&files.amd).any(|device| device.pci_bus_id.as_ref() == Some(slot));
        let is_untold = |slot: &Option<String>| !slot.as_ref().is_some_and(told);
        let needs_vulkan = self.looks_everywhere || files.usable.iter().any(is_untold);
        let others = if needs_vulkan { self.vulkan.devices().await } else { Vec::new() };
        Hardware {
            cpu_name: files.cpu_name,
            cpu_count,
            memory_total_bytes: files.memory.total,
            memory_available_bytes: files.memory.available,
            devices: merge::merge([nvidia, files.amd, others], files.memory),
            engines: Vec::new(),
        }
    }

    async fn device_uses(&self) -> Vec<DeviceUse> {
        let sysfs = self.sysfs.clone();
        let of_files = tokio::task::spawn_blocking(move || sysfs.uses(&sysfs.devices()));
        let (of_files, mut uses) = tokio::join!(of_files, self.nvml.uses());
        uses.extend(of_files.unwrap_or_default());
        uses
    }
}

#[cfg(test)]
mod tests;

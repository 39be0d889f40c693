//! NVIDIA's GPUs, through its management library (`libnvidia-ml.so.1`), which comes with the driver and is loaded when it is
//! first asked for.
//!
//! Numbers are those of the library, in the order of the PCI bus; CUDA's are the same with
//! `CUDA_DEVICE_ORDER=PCI_BUS_ID`, or where all GPUs are alike. The processes it tells of have the numbers of the machine:
//! in a container with numbers of its own they match nothing, and what instances hold stays unknown.

use std::collections::BTreeMap;

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use orchestrator_core::hardware::{Device, DeviceSource, DeviceUse};
use orchestrator_core::instance::spec::Backend;

use super::lookout::Sight;

/// The name as it stands in the log.
pub(super) const NAME: &str = "nvml";

/// The library, loaded.
struct Library(Nvml);

/// Loads the library.
pub(super) fn open() -> Option<Box<dyn Sight>> {
    match Nvml::init() {
        Ok(nvml) => Some(Box::new(Library(nvml))),
        // A machine without NVIDIA's driver.
        Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded) => None,
        Err(error) => {
            tracing::info!(%error, "NVIDIA's management library cannot be used");
            None
        }
    }
}

impl Sight for Library {
    fn devices(&mut self) -> Option<Vec<Device>> {
        let count = self.0.device_count().ok()?;
        let driver = self.0.sys_driver_version().ok();
        Some((0..count).filter_map(|index| self.device(index, driver.clone())).collect())
    }

    fn uses(&mut self) -> Vec<DeviceUse> {
        let count = self.0.device_count().unwrap_or(0);
        (0..count).flat_map(|index| self.uses_of(index)).collect()
    }
}

impl Library {
    /// `None` for a GPU that does not answer, such as one that fell off its bus.
    fn device(&self, index: u32, driver: Option<String>) -> Option<Device> {
        let device = self.0.device_by_index(index).ok()?;
        let (total, free, unified_memory) = match device.memory_info() {
            Ok(memory) => (memory.total, Some(memory.free), false),
            // A GPU that shares the machine's memory has none of its own to tell of.
            Err(NvmlError::NotSupported) => (0, None, true),
            Err(_) => return None,
        };
        let capability = device.cuda_compute_capability().ok();
        Some(Device {
            memory_free_bytes: free,
            unified_memory,
            busy_percent: device.utilization_rates().ok().and_then(|rates| u8::try_from(rates.gpu).ok()),
            driver,
            compute_capability: capability.map(|capability| format!("{}.{}", capability.major, capability.minor)),
            pci_bus_id: device.pci_info().ok().and_then(|pci| super::merge::pci_bus_id(&pci.bus_id)),
            uuid: device.uuid().ok(),
            seen_by: vec![DeviceSource::Nvml],
            ..Device::new(Backend::Cuda, index, device.name().unwrap_or_default(), total)
        })
    }

    fn uses_of(&self, index: u32) -> Vec<DeviceUse> {
        let Ok(device) = self.0.device_by_index(index) else { return Vec::new() };
        let computing = device.running_compute_processes().unwrap_or_default();
        let drawing = device.running_graphics_processes().unwrap_or_default();
        let told = computing.into_iter().chain(drawing).filter_map(|process| match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some((process.pid, bytes)),
            UsedGpuMemory::Unavailable => None,
        });
        held(told).into_iter().map(|(pid, memory_bytes)| DeviceUse { backend: Backend::Cuda, index, pid, memory_bytes }).collect()
    }
}

/// A process that does both is told of twice, each time with all that it holds.
fn held(told: impl Iterator<Item = (u32, u64)>) -> BTreeMap<u32, u64> {
    let mut held = BTreeMap::new();
    for (pid, bytes) in told {
        let known = held.entry(pid).or_insert(bytes);
        *known = bytes.max(*known);
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_computes_and_draws_is_counted_once() {
        let told = [(7, 100), (9, 5), (7, 120)];
        assert_eq!(held(told.into_iter()), BTreeMap::from([(7, 120), (9, 5)]));
    }
}

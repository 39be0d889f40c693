//! The ways together.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use orchestrator_core::hardware::DeviceSource;
use orchestrator_core::instance::spec::Backend;

use super::lookout::Sight;
use super::*;

/// A library that sees these.
struct Sees(Vec<Device>);

impl Sight for Sees {
    fn devices(&mut self) -> Option<Vec<Device>> {
        Some(self.0.clone())
    }

    fn uses(&mut self) -> Vec<DeviceUse> {
        self.0.iter().map(|device| DeviceUse { backend: device.backend, index: device.index, pid: 7, memory_bytes: 5 }).collect()
    }
}

/// Loads a library that sees these, and counts how often.
fn library(devices: Vec<Device>) -> (Opener, Arc<AtomicUsize>) {
    let loaded = Arc::new(AtomicUsize::new(0));
    let counter = loaded.clone();
    let open: Opener = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        (!devices.is_empty()).then(|| Box::new(Sees(devices.clone())) as _)
    });
    (open, loaded)
}

fn seen(source: DeviceSource, backend: Backend, name: &str, pci: &str) -> Device {
    Device { pci_bus_id: Some(pci.to_owned()), seen_by: vec![source], ..Device::new(backend, 0, name, 1 << 30) }
}

fn machine(root: &Path, nvml: Opener, vulkan: Opener) -> LinuxHardware {
    LinuxHardware::with(Host::at(root.join("proc"), root.join("cgroup")), Sysfs::at(root), nvml, vulkan)
}

#[tokio::test]
async fn vulkan_is_asked_for_gpus_that_nobody_else_tells_of() {
    let root = tempfile::tempdir().unwrap();
    sysfs::tests::three_cards(root.path());
    let nvidia = seen(DeviceSource::Nvml, Backend::Cuda, "RTX", "0000:01:00.0");
    let drivers = vec![
        seen(DeviceSource::Vulkan, Backend::Vulkan, "RTX", "0000:01:00.0"),
        Device { index: 1, pci_bus_id: None, ..seen(DeviceSource::Vulkan, Backend::Vulkan, "V3D 7.1", "") },
    ];
    let (nvml, _) = library(vec![nvidia]);
    let (vulkan, loaded) = library(drivers);
    let hardware = machine(root.path(), nvml.clone(), vulkan.clone());
    let devices = hardware.probe().await.devices;
    let names: Vec<_> = devices.iter().map(|device| device.name.as_str()).collect();
    // A GPU on no bus needs Vulkan; the card without a name keeps a plain one.
    assert_eq!(names, ["RTX", "AMD Instinct MI210", "rocm GPU", "V3D 7.1"]);
    assert_eq!(devices[0].seen_by, [DeviceSource::Nvml, DeviceSource::Vulkan]);
    let uses = hardware.device_uses().await;
    assert_eq!(uses, [DeviceUse { backend: Backend::Cuda, index: 0, pid: 7, memory_bytes: 5 }]);
    assert_eq!(loaded.swap(0, Ordering::SeqCst), 1);

    std::fs::remove_dir_all(root.path().join("sys/class/drm/renderD130")).unwrap();
    let hardware = machine(root.path(), nvml.clone(), vulkan.clone());
    assert_eq!(hardware.probe().await.devices.len(), 3);
    assert_eq!(loaded.load(Ordering::SeqCst), 0, "the others told of everything");
    let thorough = LinuxHardware { looks_everywhere: true, ..machine(root.path(), nvml, vulkan) };
    assert_eq!(thorough.probe().await.devices[0].seen_by, [DeviceSource::Nvml, DeviceSource::Vulkan]);
    assert_eq!(loaded.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_machine_without_drivers_has_no_gpus_and_nothing_is_looked_for_twice() {
    let root = tempfile::tempdir().unwrap();
    let ((nvml, nvml_loaded), (vulkan, vulkan_loaded)) = (library(Vec::new()), library(Vec::new()));
    let hardware = machine(root.path(), nvml, vulkan);
    for _ in 0..3 {
        assert_eq!((hardware.probe().await.devices, hardware.device_uses().await), (Vec::new(), Vec::new()));
    }
    assert_eq!((nvml_loaded.load(Ordering::SeqCst), vulkan_loaded.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn this_machine_has_processors_and_memory() {
    let hardware = LinuxHardware::default().probe().await;
    assert!(hardware.cpu_count >= 1);
    assert!(hardware.memory_total_bytes > 0 && hardware.memory_available_bytes <= hardware.memory_total_bytes);
}

//! One GPU that is seen in several ways is one GPU. Pure.
//!
//! Ways are given in the order in which they are believed: whoever sees a GPU first gives its kind, number and memory; what
//! it does not know is filled in by the others. Two sights are of one GPU when they have the same place on the PCI bus, or
//! the same identity; where neither is known to both, when they have the same name and nobody else has it.

use std::fmt;

use orchestrator_core::hardware::Device;

use super::host::HostMemory;

/// A place on the PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PciAddress {
    pub(super) domain: u32,
    pub(super) bus: u32,
    pub(super) device: u32,
    pub(super) function: u32,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// Brings a place on the PCI bus into one form: `00000000:65:00.0` and `0000:65:00.0` are the same.
pub(super) fn pci_bus_id(text: &str) -> Option<String> {
    let hexadecimal = |text: &str| u32::from_str_radix(text, 16).ok();
    let (domain, rest) = text.trim().split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let address =
        PciAddress { domain: hexadecimal(domain)?, bus: hexadecimal(bus)?, device: hexadecimal(device)?, function: hexadecimal(function)? };
    Some(address.to_string())
}

/// Makes one list of what was seen in several ways, the most believed one first. GPUs without memory of their own have the
/// machine's.
pub(super) fn merge(ways: impl IntoIterator<Item = Vec<Device>>, host: HostMemory) -> Vec<Device> {
    let mut merged: Vec<Device> = Vec::new();
    for seen in ways {
        let known = merged.len();
        for device in seen {
            match same_as(&merged[..known], &device) {
                Some(index) => fill(&mut merged[index], device),
                None => merged.push(device),
            }
        }
    }
    for device in &mut merged {
        if device.name.is_empty() {
            device.name = format!("{} GPU", device.backend.as_str());
        }
        if device.unified_memory && device.memory_total_bytes == 0 {
            (device.memory_total_bytes, device.memory_free_bytes) = (host.total, Some(host.available));
        }
    }
    merged
}

/// Finds the GPU among those of other ways.
fn same_as(others: &[Device], device: &Device) -> Option<usize> {
    let decided = others.iter().position(|other| is_same(other, device) == Some(true));
    decided.or_else(|| {
        let alike = |other: &Device| is_same(other, device).is_none() && !device.name.is_empty() && other.name == device.name;
        let mut alike = others.iter().enumerate().filter(|(_, other)| alike(other)).map(|(index, _)| index);
        alike.next().filter(|_| alike.next().is_none())
    })
}

/// `None` when nothing that is known of both decides it.
fn is_same(a: &Device, b: &Device) -> Option<bool> {
    let places = a.pci_bus_id.as_ref().zip(b.pci_bus_id.as_ref()).map(|(a, b)| a == b);
    let identities = || a.uuid.as_deref().zip(b.uuid.as_deref()).map(|(a, b)| bare(a) == bare(b));
    places.or_else(identities)
}

/// NVIDIA writes `GPU-` before what Vulkan tells as bare bytes.
fn bare(uuid: &str) -> &str {
    uuid.strip_prefix("GPU-").unwrap_or(uuid)
}

/// Adds what another way knows.
fn fill(known: &mut Device, other: Device) {
    let Device {
        backend: _,
        index: _,
        name,
        memory_total_bytes: _,
        memory_free_bytes: _,
        unified_memory,
        busy_percent,
        driver,
        compute_capability,
        pci_bus_id,
        uuid,
        seen_by,
    } = other;
    if known.name.is_empty() {
        known.name = name;
    }
    known.unified_memory |= unified_memory;
    known.busy_percent = known.busy_percent.or(busy_percent);
    known.driver = known.driver.take().or(driver);
    known.compute_capability = known.compute_capability.take().or(compute_capability);
    known.pci_bus_id = known.pci_bus_id.take().or(pci_bus_id);
    known.uuid = known.uuid.take().or(uuid);
    known.seen_by.extend(seen_by);
}

#[cfg(test)]
mod tests {
    use orchestrator_core::hardware::DeviceSource::{self, Nvml, Sysfs, Vulkan};
    use orchestrator_core::instance::spec::Backend;

    use super::*;

    fn seen(by: DeviceSource, index: u32, name: &str, pci: &str, uuid: &str) -> Device {
        let backend = match by {
            Nvml => Backend::Cuda,
            Sysfs => Backend::Rocm,
            _ => Backend::Vulkan,
        };
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let total = u64::from(index) + 100;
        Device { pci_bus_id: known(pci), uuid: known(uuid), seen_by: vec![by], ..Device::new(backend, index, name, total) }
    }

    /// What is left, in short: kind, number, name, and by how many it was seen.
    fn check(ways: Vec<Vec<Device>>, expected: &[(Backend, u32, &str, usize)]) {
        let merged = merge(ways, HostMemory::default());
        let short: Vec<_> =
            merged.iter().map(|device| (device.backend, device.index, device.name.as_str(), device.seen_by.len())).collect();
        assert_eq!(short, expected);
    }

    #[test]
    fn places_on_the_bus_come_in_one_form() {
        assert_eq!(pci_bus_id("00000000:65:00.0").as_deref(), Some("0000:65:00.0"));
        assert_eq!(pci_bus_id("0000:C5:0A.1\n").as_deref(), Some("0000:c5:0a.1"));
        assert_eq!(PciAddress { domain: 0, bus: 0xc5, device: 10, function: 1 }.to_string(), "0000:c5:0a.1");
        for text in ["", "65:00.0", "0000:65:00", "0000:zz:00.0"] {
            assert_eq!(pci_bus_id(text), None, "{text}");
        }
    }

    #[test]
    fn one_gpu_seen_in_several_ways_is_one() {
        check(
            vec![
                vec![seen(Nvml, 0, "H100", "0000:65:00.0", "GPU-1"), seen(Nvml, 1, "H100", "0000:66:00.0", "GPU-2")],
                vec![seen(Sysfs, 0, "", "0000:03:00.0", "")],
                vec![
                    seen(Vulkan, 0, "Navi", "0000:03:00.0", "9"),
                    seen(Vulkan, 1, "NVIDIA H100", "0000:66:00.0", "2"),
                    // No place: told by its identity.
                    seen(Vulkan, 2, "NVIDIA H100", "", "1"),
                    seen(Vulkan, 3, "Arc", "0000:04:00.0", "7"),
                ],
            ],
            &[(Backend::Cuda, 0, "H100", 2), (Backend::Cuda, 1, "H100", 2), (Backend::Rocm, 0, "Navi", 2), (Backend::Vulkan, 3, "Arc", 1)],
        );
    }

    #[test]
    fn names_decide_only_where_nothing_else_is_known_and_one_has_the_name() {
        let vulkan = |name| vec![seen(Vulkan, 0, name, "", "5")];
        check(vec![vec![seen(Nvml, 0, "A", "0000:01:00.0", "")], vulkan("A")], &[(Backend::Cuda, 0, "A", 2)]);
        check(vec![vec![seen(Nvml, 0, "A", "0000:01:00.0", "")], vulkan("B")], &[(Backend::Cuda, 0, "A", 1), (Backend::Vulkan, 0, "B", 1)]);
        let twins = vec![seen(Nvml, 0, "A", "0000:01:00.0", ""), seen(Nvml, 1, "A", "0000:02:00.0", "")];
        check(vec![twins, vulkan("A")], &[(Backend::Cuda, 0, "A", 1), (Backend::Cuda, 1, "A", 1), (Backend::Vulkan, 0, "A", 1)]);
        check(
            vec![vec![seen(Nvml, 0, "A", "0000:01:00.0", "")], vec![seen(Vulkan, 0, "A", "0000:02:00.0", "")]],
            &[(Backend::Cuda, 0, "A", 1), (Backend::Vulkan, 0, "A", 1)],
        );
        // Two of one way are two, whatever they are called.
        check(
            vec![vec![seen(Vulkan, 0, "A", "", ""), seen(Vulkan, 1, "A", "", "")]],
            &[(Backend::Vulkan, 0, "A", 1), (Backend::Vulkan, 1, "A", 1)],
        );
    }

    #[test]
    fn the_first_way_gives_the_memory_and_the_others_fill_in() {
        let mut first = seen(Sysfs, 0, "", "0000:03:00.0", "");
        first.memory_free_bytes = Some(40);
        let mut second = seen(Vulkan, 7, "Navi 31", "0000:03:00.0", "9");
        (second.memory_free_bytes, second.driver, second.unified_memory) = (Some(1), Some("radv".to_owned()), true);
        let merged = merge([vec![first], vec![second]], HostMemory::default());
        let expected = Device {
            memory_free_bytes: Some(40),
            unified_memory: true,
            driver: Some("radv".to_owned()),
            pci_bus_id: Some("0000:03:00.0".to_owned()),
            uuid: Some("9".to_owned()),
            seen_by: vec![Sysfs, Vulkan],
            ..Device::new(Backend::Rocm, 0, "Navi 31", 100)
        };
        assert_eq!(merged, [expected]);
    }

    #[test]
    fn a_gpu_without_memory_of_its_own_has_the_machines() {
        let shared = Device { unified_memory: true, memory_total_bytes: 0, ..seen(Nvml, 0, "", "", "") };
        let merged = merge([vec![shared]], HostMemory { total: 128, available: 100 });
        assert_eq!((merged[0].memory_total_bytes, merged[0].memory_free_bytes, &*merged[0].name), (128, Some(100), "cuda GPU"));
    }
}

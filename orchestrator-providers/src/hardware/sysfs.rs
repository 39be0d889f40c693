//! AMD's GPUs, from the kernel's files; and whether there are GPUs that somebody else must tell of.
//!
//! ```text
//! class/drm/card0/device/{vendor,device,uevent,product_name,mem_info_vram_total,mem_info_vram_used,gpu_busy_percent}
//! class/drm/renderD128/device/uevent          a GPU that programs can use, of whatever make
//! /proc/PID/fdinfo/N                          what an open GPU holds, where we may read that
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use orchestrator_core::hardware::{Device, DeviceSource, DeviceUse};
use orchestrator_core::instance::spec::Backend;

use super::merge::pci_bus_id;

/// AMD's number among the makers of PCI devices.
const AMD: &str = "0x1002";

/// Where the kernel tells of GPUs.
#[derive(Debug, Clone)]
pub(super) struct Sysfs {
    sys: PathBuf,
    proc: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self { sys: PathBuf::from("/sys"), proc: PathBuf::from("/proc") }
    }
}

impl Sysfs {
    #[cfg(test)]
    pub(super) fn at(root: &Path) -> Self {
        Self { sys: root.join("sys"), proc: root.join("proc") }
    }

    /// Returns AMD's GPUs, in the order of their cards.
    pub(super) fn devices(&self) -> Vec<Device> {
        let folders = numbered(&self.sys.join("class/drm"), "card").into_iter().map(|card| card.join("device"));
        folders.filter_map(|folder| self.device(&folder)).zip(0..).map(|(device, index)| Device { index, ..device }).collect()
    }

    fn device(&self, folder: &Path) -> Option<Device> {
        if word(&folder.join("vendor"))? != AMD {
            return None;
        }
        let total = number(&folder.join("mem_info_vram_total"))?;
        let used = number(&folder.join("mem_info_vram_used"));
        // Not every card has a name here; one that is seen in another way too has it from there.
        let name = word(&folder.join("product_name")).unwrap_or_default();
        Some(Device {
            memory_free_bytes: used.map(|used| total.saturating_sub(used)),
            busy_percent: number(&folder.join("gpu_busy_percent")).and_then(|busy| u8::try_from(busy).ok()),
            driver: word(&self.sys.join("module/amdgpu/version")),
            pci_bus_id: slot(folder),
            seen_by: vec![DeviceSource::Sysfs],
            ..Device::new(Backend::Rocm, 0, name, total)
        })
    }

    /// Returns the PCI addresses of all GPUs that programs can use; `None` for those on no such bus.
    pub(super) fn usable(&self) -> Vec<Option<String>> {
        let nodes = numbered(&self.sys.join("class/drm"), "renderD");
        nodes.into_iter().map(|node| slot(&node.join("device"))).collect()
    }

    /// Returns which processes hold how much of these GPUs.
    pub(super) fn uses(&self, devices: &[Device]) -> Vec<DeviceUse> {
        if devices.is_empty() {
            return Vec::new();
        }
        let mut uses = Vec::new();
        for process in numbered(&self.proc, "") {
            let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
            let mut held: BTreeMap<u32, u64> = BTreeMap::new();
            for ((slot, _), bytes) in open_gpus(&process) {
                if let Some(device) = devices.iter().find(|device| device.pci_bus_id.as_deref() == Some(&slot)) {
                    let total = held.entry(device.index).or_default();
                    *total = total.saturating_add(bytes);
                }
            }
            let of_pid = held.into_iter().map(|(index, memory_bytes)| DeviceUse { backend: Backend::Rocm, index, pid, memory_bytes });
            uses.extend(of_pid);
        }
        uses
    }
}

/// Returns what a process holds of GPUs, by the address of the GPU and the kernel's number for the user: descriptors that
/// were copied lead to the same one.
fn open_gpus(process: &Path) -> BTreeMap<(String, String), u64> {
    let mut users = BTreeMap::new();
    // Of a stranger's process nothing can be read.
    for descriptor in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
        if fs::read_link(descriptor.path()).is_ok_and(|target| target.starts_with("/dev/dri"))
            && let Ok(text) = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name()))
            && let Some((user, bytes)) = held_by(&text)
        {
            users.insert(user, bytes);
        }
    }
    users
}

/// Reads what the kernel says of one open GPU.
fn held_by(text: &str) -> Option<((String, String), u64)> {
    let value =
        |name: &str| text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value.trim());
    let slot = pci_bus_id(value("drm-pdev")?)?;
    // What is really in the GPU's memory; older kernels have the older name, or only what was asked for.
    let bytes = ["drm-resident-vram", "drm-memory-vram", "drm-total-vram"].into_iter().find_map(|name| bytes(value(name)?))?;
    Some(((slot, value("drm-client-id").unwrap_or_default().to_owned()), bytes))
}

/// Reads a size such as `512 KiB`, `3 MiB` or `4096`.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let unit = match unit.trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Returns the entries of a folder that are called `prefix` and a number, in the order of the numbers.
fn numbered(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.strip_prefix(prefix)?.parse::<u32>().ok()?, entry.path()));
    let mut found: Vec<(u32, PathBuf)> = entries.filter_map(number).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Reads where a device is plugged in.
fn slot(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("uevent")).ok()?;
    pci_bus_id(text.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME="))?)
}

fn word(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number(file: &Path) -> Option<u64> {
    word(file)?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests;

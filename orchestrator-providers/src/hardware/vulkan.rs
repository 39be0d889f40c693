//! GPUs of every make, through the Vulkan loader (`libvulkan.so.1`), which is loaded when it is first asked for.
//!
//! Processors that pretend to be GPUs (llvmpipe and its like) are left out. One Vulkan instance is made and kept, and is let
//! go with the library.

#![expect(unsafe_code, reason = "Vulkan is a C interface; each call says what it relies on")]

use std::borrow::Cow;
use std::ffi::CStr;

use ash::vk;
use orchestrator_core::hardware::{Device, DeviceSource};
use orchestrator_core::instance::spec::Backend;

use super::lookout::Sight;
use super::merge::PciAddress;

/// The name as it stands in the log.
pub(super) const NAME: &str = "vulkan";

/// The library, loaded, with an instance of its own.
struct Library {
    instance: ash::Instance,
    /// Whether processors that pretend to be GPUs are told of as well.
    with_processors: bool,
    /// Keeps the library loaded; let go after the instance.
    _entry: ash::Entry,
}

/// What a driver tells of one GPU.
#[derive(Clone, Default)]
struct Told {
    name: String,
    kind: vk::PhysicalDeviceType,
    driver: Option<String>,
    pci: Option<PciAddress>,
    uuid: [u8; 16],
    /// The heaps of memory of its own: size and, where that is told, what we could still take.
    heaps: Vec<(u64, Option<u64>)>,
}

/// Loads the library.
pub(super) fn open() -> Option<Box<dyn Sight>> {
    Library::open(false).map(|library| Box::new(library) as _)
}

impl Library {
    fn open(with_processors: bool) -> Option<Self> {
        // SAFETY: loading runs the initialisers of the system's own Vulkan loader, which every program with Vulkan runs.
        let entry = unsafe { ash::Entry::load() }.ok()?;
        // SAFETY: the entry is loaded.
        let version = unsafe { entry.try_enumerate_instance_version() }.ok().flatten().unwrap_or(vk::API_VERSION_1_0);
        if version < vk::API_VERSION_1_1 {
            tracing::info!("the Vulkan loader is older than 1.1 and is not used");
            return None;
        }
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
        let order = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `order` and what it points to live until the call returns; the instance is destroyed before its entry.
        match unsafe { entry.create_instance(&order, None) } {
            Ok(instance) => Some(Self { instance, with_processors, _entry: entry }),
            // A loader without drivers.
            Err(vk::Result::ERROR_INCOMPATIBLE_DRIVER) => None,
            Err(error) => {
                tracing::info!(%error, "Vulkan cannot be used");
                None
            }
        }
    }

    fn ask(&self, device: vk::PhysicalDevice) -> Option<Told> {
        // SAFETY: the device was listed by this instance, which lives.
        let extensions = unsafe { self.instance.enumerate_device_extension_properties(device) }.ok()?;
        let has = |wanted: &CStr| extensions.iter().any(|extension| extension.extension_name_as_c_str() == Ok(wanted));
        // SAFETY: as above.
        let api_version = unsafe { self.instance.get_physical_device_properties(device) }.api_version;
        if api_version < vk::API_VERSION_1_1 {
            return None;
        }
        let (mut identity, mut driver, mut pci) = (
            vk::PhysicalDeviceIDProperties::default(),
            vk::PhysicalDeviceDriverProperties::default(),
            vk::PhysicalDevicePCIBusInfoPropertiesEXT::default(),
        );
        let has_driver = api_version >= vk::API_VERSION_1_2 || has(ash::khr::driver_properties::NAME);
        let has_pci = has(ash::ext::pci_bus_info::NAME);
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut identity);
        if has_driver {
            properties = properties.push_next(&mut driver);
        }
        if has_pci {
            properties = properties.push_next(&mut pci);
        }
        // SAFETY: the device has 1.1, which has this call; every structure in the chain is known to it.
        unsafe { self.instance.get_physical_device_properties2(device, &mut properties) };
        let properties = properties.properties;

        let has_budget = has(ash::ext::memory_budget::NAME);
        let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
        let mut memory = vk::PhysicalDeviceMemoryProperties2::default();
        if has_budget {
            memory = memory.push_next(&mut budget);
        }
        // SAFETY: as above.
        unsafe { self.instance.get_physical_device_memory_properties2(device, &mut memory) };
        let count = usize::try_from(memory.memory_properties.memory_heap_count).unwrap_or(0).min(vk::MAX_MEMORY_HEAPS);
        let heaps = memory.memory_properties.memory_heaps;
        let own = (0..count).filter(|index| heaps[*index].flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL));
        let free = |index: usize| has_budget.then(|| budget.heap_budget[index].saturating_sub(budget.heap_usage[index]));
        Some(Told {
            heaps: own.map(|index| (heaps[index].size, free(index))).collect(),
            name: text(properties.device_name_as_c_str()),
            kind: properties.device_type,
            driver: has_driver.then(|| driver_of(&text(driver.driver_name_as_c_str()), &text(driver.driver_info_as_c_str()))),
            pci: has_pci.then_some(PciAddress {
                domain: pci.pci_domain,
                bus: pci.pci_bus,
                device: pci.pci_device,
                function: pci.pci_function,
            }),
            uuid: identity.device_uuid,
        })
    }
}

impl Sight for Library {
    fn devices(&mut self) -> Option<Vec<Device>> {
        // SAFETY: the instance lives.
        let listed = unsafe { self.instance.enumerate_physical_devices() }.ok()?;
        let told = listed.into_iter().filter_map(|device| self.ask(device));
        let seen = told.filter(|told| self.with_processors || told.kind != vk::PhysicalDeviceType::CPU);
        Some(seen.zip(0..).map(|(told, index)| told.into_device(index)).collect())
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: nothing made from the instance is left, and nobody can use it any more.
        unsafe { self.instance.destroy_instance(None) };
    }
}

impl Told {
    fn into_device(self, index: u32) -> Device {
        let total = self.heaps.iter().map(|(size, _)| size).sum();
        let free: Option<u64> = self.heaps.iter().map(|(_, free)| *free).sum();
        Device {
            memory_free_bytes: free,
            unified_memory: matches!(self.kind, vk::PhysicalDeviceType::INTEGRATED_GPU | vk::PhysicalDeviceType::CPU),
            driver: self.driver,
            pci_bus_id: self.pci.map(|pci| pci.to_string()),
            uuid: Some(uuid::Uuid::from_bytes(self.uuid).to_string()),
            seen_by: vec![DeviceSource::Vulkan],
            ..Device::new(Backend::Vulkan, index, self.name, total)
        }
    }
}

fn text<E>(text: Result<&CStr, E>) -> String {
    text.map_or(Cow::Borrowed(""), CStr::to_string_lossy).into_owned()
}

/// Such as "radv Mesa 25.0.7".
fn driver_of(name: &str, version: &str) -> String {
    [name, version].join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: vk::PhysicalDeviceType, heaps: &[(u64, Option<u64>)]) -> Device {
        Told { kind, heaps: heaps.to_vec(), ..Told::default() }.into_device(3)
    }

    #[test]
    fn the_heaps_of_its_own_are_its_memory() {
        let discrete = told(vk::PhysicalDeviceType::DISCRETE_GPU, &[(800, Some(500)), (24, Some(20))]);
        assert_eq!((discrete.memory_total_bytes, discrete.memory_free_bytes, discrete.unified_memory), (824, Some(520), false));
        let silent = told(vk::PhysicalDeviceType::INTEGRATED_GPU, &[(800, None)]);
        assert_eq!((silent.memory_total_bytes, silent.memory_free_bytes, silent.unified_memory), (800, None, true));
    }
    #[test]
    fn every_machine_has_drivers_or_has_not_and_both_are_answers() {
        for with_processors in [false, true] {
            let Some(mut library) = Library::open(with_processors) else { continue };
            let devices = library.devices().unwrap_or_default();

            assert!(devices.iter().all(|device| !device.name.is_empty() && device.memory_total_bytes > 0), "{devices:?}");
            assert!(devices.iter().zip(0..).all(|(device, index)| device.index == index), "{devices:?}");
        }
    }
}

//! What the machine has: processors, memory, GPUs and how they were seen, and what the engine at hand makes of them.

use orchestrator_core::Paths;
use orchestrator_core::Runtime as _;
use orchestrator_core::config::InstanceCatalog;
use orchestrator_core::hardware::{Device, EngineDevices, Hardware, HardwareProbe as _};
use orchestrator_core::instance::spec::Backend;
use orchestrator_core::runtime::RuntimeKind;
use orchestrator_providers::{LinuxHardware, LlamaCpp};

use super::Check;
use crate::output::format;
use crate::provider_settings;

/// Looks in every way there is. Nothing is started but the engine at hand, which lists its devices.
pub(super) async fn look() -> Hardware {
    let runtime = LlamaCpp::new(provider_settings::from_environment());
    let probe = LinuxHardware::thorough();
    let engines = async {
        let mut engines = Vec::new();
        for engine in runtime.engines_at_hand() {
            let told = runtime.devices_of(&engine).await;
            let problem = told.as_ref().err().map(ToString::to_string);
            engines.push(EngineDevices {
                runtime: RuntimeKind::LlamaCpp,
                engine: engine.shown(),
                devices: told.unwrap_or_default(),
                problem,
            });
        }
        engines
    };
    let (hardware, engines) = tokio::join!(probe.probe(), engines);
    Hardware { engines, ..hardware }
}

pub(super) fn checks(paths: &Paths, hardware: &Hardware) -> Vec<Check> {
    let wanted = InstanceCatalog::scan(&paths.instances_dir()).specs().find_map(|spec| {
        let is_missing = spec.gpu.backend != Backend::Cpu && hardware.devices.is_empty();
        is_missing.then(|| format!("the instance {} is to run on one (`gpu.backend: {}`)", spec.name, spec.gpu.backend.as_str()))
    });
    vec![machine(hardware), gpus(hardware, wanted)]
}

fn machine(hardware: &Hardware) -> Check {
    let name = hardware.cpu_name.as_deref().unwrap_or("processors");
    let (free, total) = (format::bytes(hardware.memory_available_bytes), format::bytes(hardware.memory_total_bytes));
    Check::ok("machine", format!("{} × {name}\n{free} of {total} memory free", hardware.cpu_count))
}

/// `wanted` says which instance is to run on a GPU that is not there.
fn gpus(hardware: &Hardware, wanted: Option<String>) -> Check {
    let mut lines: Vec<String> = hardware.devices.iter().map(gpu).collect();
    if lines.is_empty() {
        lines.push("none was found; models run on the processor".to_owned());
    }
    lines.extend(hardware.engines.iter().map(engine));
    if let Some(wanted) = wanted {
        lines.push(wanted);
        return Check::warn("gpus", lines.join("\n"), "install the GPU's driver, or set `gpu.backend: cpu`");
    }
    let unused = hardware.engines.iter().find(|engine| engine.problem.is_none() && engine.devices.is_empty());
    if let Some(engine) = unused.filter(|_| hardware.devices.iter().any(|device| !device.unified_memory)) {
        let hint = format!("{} was built for the processor alone; one that was built for the GPU is faster", engine.engine);
        return Check::warn("gpus", lines.join("\n"), hint);
    }
    Check::ok("gpus", lines.join("\n"))
}

/// Such as "NVIDIA H200 (cuda:0), 139.0 GB of 139.8 GB free, driver 570.86; seen by NVML, Vulkan".
fn gpu(device: &Device) -> String {
    let total = format::bytes(device.memory_total_bytes);
    let memory = device.memory_free_bytes.map_or_else(|| total.clone(), |free| format!("{} of {total} free", format::bytes(free)));
    let mut parts = vec![format!("{} ({})", device.name, device.short_name()), memory];
    parts.extend(device.unified_memory.then(|| "shared with the processor".to_owned()));
    parts.extend(device.driver.as_ref().map(|driver| format!("driver {driver}")));
    parts.extend(device.compute_capability.as_ref().map(|capability| format!("compute capability {capability}")));
    let seen: Vec<_> = device.seen_by.iter().map(|source| source.as_str()).collect();
    format!("{}; seen by {}", parts.join(", "), seen.join(", "))
}

fn engine(engine: &EngineDevices) -> String {
    let names: Vec<_> = engine.devices.iter().map(|device| format!("{} ({})", device.id, device.name)).collect();
    match (&engine.problem, names.as_slice()) {
        (Some(problem), _) => format!("{} does not say what it could use: {problem}", engine.engine),
        (None, []) => format!("{} uses the processor alone", engine.engine),
        (None, names) => format!("{} could use {}", engine.engine, names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::hardware::{DeviceSource, EngineDevice};

    use super::*;
    use crate::commands::doctor::CheckResult;

    fn engine_with(names: &[&str]) -> EngineDevices {
        let device = |name: &&str| EngineDevice {
            id: (*name).to_owned(),
            name: "H200".to_owned(),
            memory_total_bytes: None,
            memory_free_bytes: None,
        };
        EngineDevices {
            runtime: RuntimeKind::LlamaCpp,
            engine: "/bin/llama-server".to_owned(),
            devices: names.iter().map(device).collect(),
            problem: None,
        }
    }

    #[test]
    fn gpus_are_shown_with_how_they_were_seen_and_who_can_use_them() {
        let device = Device {
            memory_free_bytes: Some(3 << 30),
            driver: Some("570.86".to_owned()),
            compute_capability: Some("9.0".to_owned()),
            seen_by: vec![DeviceSource::Nvml, DeviceSource::Vulkan],
            ..Device::new(Backend::Cuda, 0, "NVIDIA H200", 4 << 30)
        };
        let with = |devices: &[Device], engines: &[EngineDevices]| Hardware {
            devices: devices.to_vec(),
            engines: engines.to_vec(),
            ..Hardware::default()
        };
        let check = gpus(&with(std::slice::from_ref(&device), &[engine_with(&["CUDA0"])]), None);
        assert_eq!(check.result, CheckResult::Ok);
        assert_eq!(
            check.detail,
            "NVIDIA H200 (cuda:0), 3.0 GB of 4.0 GB free, driver 570.86, compute capability 9.0; seen by NVML, Vulkan\n\
             /bin/llama-server could use CUDA0 (H200)"
        );
        assert_eq!(gpus(&with(&[device], &[engine_with(&[])]), None).result, CheckResult::Warn, "the engine cannot use it");
        let none = gpus(&with(&[], &[engine_with(&[])]), None);
        assert_eq!((none.result, none.detail.lines().count()), (CheckResult::Ok, 2), "no GPU is a normal answer");
        assert_eq!(gpus(&with(&[], &[]), Some("the instance a is to run on one".to_owned())).result, CheckResult::Warn);
    }
}

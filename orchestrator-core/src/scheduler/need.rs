//! What an instance needs: what its configuration says, else what was measured the last time it was loaded with the same
//! settings, else an estimate from its model's file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::policy::{MemoryNeed, MemoryPool};
use crate::hardware::{Device, place_of};
use crate::instance::InstanceSpec;
use crate::instance::spec::Backend;
use crate::launcher::Workload;
use crate::memory::fit::MeasuredMemory;
use crate::memory::{LoadSettings, estimate, estimate_by_length};
use crate::memory_watch::held_by;
use crate::model::{InstalledModel, ModelHeader};
use crate::orchestrator::Services;
use crate::runtime::Engine;

const MIB: u64 = 1024 * 1024;
/// How long after a server became ready its memory is measured: it has worked for a while then.
const SETTLING: Duration = Duration::from_secs(2);

/// Returns what an instance is taken to need.
pub(crate) async fn need_of(services: &Services, spec: &InstanceSpec, model: &InstalledModel) -> MemoryNeed {
    let devices = services.scheduler.devices();
    let device = device_of(spec, &devices);
    let configured = configured(spec, device);
    if is_complete(&configured, device) {
        return configured;
    }
    let rest = match stored(services, spec, model).await {
        Some(measurement) => measurement.into_need(device, &devices),
        None => estimated(services, spec, model, device).await,
    };
    let mut need = rest;
    need.0.extend(configured.0);
    need
}

/// Remembers, after a while, what a loaded instance takes of the machine's memory and of its GPUs'. Where a GPU does not
/// tell what it holds, nothing is remembered, and what the instance was taken to need stays.
pub(crate) async fn measure(services: Arc<Services>, spec: Arc<InstanceSpec>, workload: Arc<dyn Workload>) {
    if services.shutdown.run_until_cancelled(tokio::time::sleep(SETTLING)).await.is_none() {
        return;
    }
    let known = services.scheduler.devices();
    let device = device_of(&spec, &known);
    if is_complete(&configured(&spec, device), device) {
        return;
    }
    let (Some(host), Ok(model)) = (workload.memory_bytes().await, services.resolve_model(&spec.model.reference).await) else { return };
    let devices = if device.is_some() { on_devices(&services, workload.as_ref()).await } else { BTreeMap::new() };
    if host == 0 || (device.is_some() && devices.is_empty()) {
        return;
    }
    let measurement = Measurement { host, device: 0, devices };
    if stored(&services, &spec, &model).await.is_some_and(|before| before.is_about(&measurement)) {
        return;
    }
    let Ok(text) = serde_json::to_string(&measurement) else { return };
    if let Err(error) = services.store.put(&key(&services, &spec, &model).await, text).await {
        tracing::debug!(%error, instance = %spec.name, "its memory could not be remembered");
    }
}

/// Returns what an instance took when it was loaded with the same settings.
pub(crate) async fn measured(services: &Services, spec: &InstanceSpec, model: &InstalledModel) -> Option<MeasuredMemory> {
    let Measurement { host, device, devices } = stored(services, spec, model).await?;
    Some(MeasuredMemory { host, device: devices.into_values().fold(device, u64::saturating_add) })
}

async fn stored(services: &Services, spec: &InstanceSpec, model: &InstalledModel) -> Option<Measurement> {
    let text = services.store.get(&key(services, spec, model).await).await.ok()??;
    serde_json::from_str(&text).ok()
}

/// Returns what the processes of a server hold of each GPU, by its short name.
async fn on_devices(services: &Services, workload: &dyn Workload) -> BTreeMap<String, u64> {
    let Some(memory) = services.memory.refresh().await else { return BTreeMap::new() };
    let held = held_by(&memory.uses, &workload.process_ids().await);
    held.into_iter().map(|((backend, index), bytes)| (format!("{}:{index}", backend.as_str()), bytes)).collect()
}

/// What is stored of a measurement.
#[derive(serde::Serialize, serde::Deserialize)]
struct Measurement {
    host: u64,
    /// Of the instance's own GPU, where it was not told which ones it used.
    #[serde(default)]
    device: u64,
    /// Of each GPU it used, by its short name.
    #[serde(default)]
    devices: BTreeMap<String, u64>,
}

impl Measurement {
    fn into_need(self, device: Option<MemoryPool>, known: &[Device]) -> MemoryNeed {
        let mut need = MemoryNeed::host(self.host);
        if self.devices.is_empty() {
            need.0.extend(device.map(|pool| (pool, self.device)));
        }
        // One that is not there any more needs nothing.
        let pool = |name: &str| known.iter().find(|device| device.short_name() == name).map(|device| pool_of(device, known));
        need.0.extend(self.devices.iter().filter_map(|(name, bytes)| Some((pool(name)?, *bytes))));
        need
    }

    /// Returns whether another measurement says the same, but for a little.
    fn is_about(&self, other: &Self) -> bool {
        let near = |a: u64, b: u64| a.abs_diff(b) <= a / 50;
        let are_near = || self.devices.iter().all(|(name, bytes)| other.devices.get(name).is_some_and(|other| near(*bytes, *other)));
        near(self.host, other.host) && self.devices.len() == other.devices.len() && are_near()
    }
}

fn pool_of(device: &Device, known: &[Device]) -> MemoryPool {
    MemoryPool::Device(place_of(known, device.backend, device.index))
}

/// Everything that the memory depends on: another model, another setting, another build of the engine is another key.
async fn key(services: &Services, spec: &InstanceSpec, model: &InstalledModel) -> String {
    let spec = &spec.without_secrets();
    let model = match model.files.first().and_then(|file| file.sha256.as_ref()) {
        Some(digest) => serde_json::json!(digest),
        None => serde_json::json!([model.path, model.size_bytes]),
    };
    let settings = serde_json::json!([
        model,
        spec.runtime,
        engine_build(services, spec).await,
        spec.model.context_size,
        spec.model.batch_size,
        spec.server.parallel,
        spec.gpu,
        spec.args,
        spec.env,
    ]);
    format!("memory:{settings}")
}

/// Tells one build of an engine from another: the file of a program, the digest of an environment.
async fn engine_build(services: &Services, spec: &InstanceSpec) -> serde_json::Value {
    let Ok(runtime) = services.runtime(spec.runtime) else { return serde_json::Value::Null };
    match runtime.find_engine(spec, services.environments.as_ref()).await {
        Ok(Engine::Binary { path }) => {
            let found = tokio::fs::metadata(&path).await.ok();
            let changed = found.as_ref().and_then(|found| found.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok());
            serde_json::json!([path, found.map(|found| found.len()), changed.map(|since| since.as_secs())])
        }
        Ok(Engine::Environment(environment)) => serde_json::json!([environment.key, environment.digest]),
        Err(_) => serde_json::Value::Null,
    }
}

/// Returns the GPU that an instance uses, or the first of them.
fn device_of(spec: &InstanceSpec, known: &[Device]) -> Option<MemoryPool> {
    let place = || place_of(known, spec.gpu.backend, spec.gpu.device_id.unwrap_or(0));
    (spec.gpu.backend != Backend::Cpu).then(|| MemoryPool::Device(place()))
}

fn is_complete(configured: &MemoryNeed, device: Option<MemoryPool>) -> bool {
    configured.0.contains_key(&MemoryPool::Host) && device.is_none_or(|pool| configured.0.contains_key(&pool))
}

fn configured(spec: &InstanceSpec, device: Option<MemoryPool>) -> MemoryNeed {
    let host = spec.memory.host_mb.map(|mib| (MemoryPool::Host, mib.saturating_mul(MIB)));
    let device = device.and_then(|pool| Some((pool, spec.memory.device_mb?.saturating_mul(MIB))));
    MemoryNeed(host.into_iter().chain(device).collect())
}

async fn estimated(services: &Services, spec: &InstanceSpec, model: &InstalledModel, device: Option<MemoryPool>) -> MemoryNeed {
    let mut settings = services.runtime(spec.runtime).map_or_else(|_| LoadSettings::of_spec(spec), |runtime| runtime.load_settings(spec));
    settings.context = settings.context.or_else(|| model.meant_context(spec.server.parallel));
    if let Some(projector) = settings.projector.as_ref().or(model.projector.as_ref()) {
        settings.projector_bytes = tokio::fs::metadata(projector).await.map_or(0, |found| found.len());
    }
    let header = read_header(model.clone()).await;
    let estimate = match header {
        Some(header) => estimate(&header, &settings),
        None => estimate_by_length(model.size_bytes, &settings),
    };
    let (host, on_device) = (estimate.host.total(), estimate.device.total());
    Measurement { host, device: on_device, devices: BTreeMap::new() }.into_need(device, &[])
}

async fn read_header(model: InstalledModel) -> Option<ModelHeader> {
    tokio::task::spawn_blocking(move || ModelHeader::read(&model).ok()).await.ok().flatten()
}

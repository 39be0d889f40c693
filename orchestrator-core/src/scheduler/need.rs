//! What an instance needs: what its configuration says, else what was measured the last time it was loaded with the same
//! settings, else an estimate from its model's file.

use std::sync::Arc;
use std::time::Duration;

use super::policy::{MemoryNeed, MemoryPool};
use crate::instance::InstanceSpec;
use crate::instance::spec::Backend;
use crate::launcher::Workload;
use crate::memory::fit::MeasuredMemory;
use crate::memory::{LoadSettings, estimate, estimate_by_length};
use crate::model::{InstalledModel, ModelHeader};
use crate::orchestrator::Services;
use crate::runtime::Engine;

const MIB: u64 = 1024 * 1024;
/// How long after a server became ready its memory is measured: it has worked for a while then.
const SETTLING: Duration = Duration::from_secs(2);

/// Returns what an instance is taken to need.
pub(crate) async fn need_of(services: &Services, spec: &InstanceSpec, model: &InstalledModel) -> MemoryNeed {
    let configured = configured(spec);
    let device = device_of(spec);
    let is_complete = configured.0.contains_key(&MemoryPool::Host) && device.is_none_or(|pool| configured.0.contains_key(&pool));
    if is_complete {
        return configured;
    }
    let rest = match measured(services, spec, model).await {
        Some(measured) => of_both(measured.host, measured.device, device),
        None => estimated(services, spec, model).await,
    };
    let mut need = rest;
    need.0.extend(configured.0);
    need
}

/// Remembers, after a while, what a loaded instance takes of the machine's memory. What a GPU holds is not seen from its
/// process, and stays as it was taken to be.
pub(crate) async fn measure(services: Arc<Services>, spec: Arc<InstanceSpec>, workload: Arc<dyn Workload>) {
    if services.shutdown.run_until_cancelled(tokio::time::sleep(SETTLING)).await.is_none() {
        return;
    }
    let (Some(bytes), Ok(model)) = (workload.memory_bytes().await, services.resolve_model(&spec.model.reference).await) else { return };
    if spec.gpu.backend != Backend::Cpu || spec.memory.host_mb.is_some() || bytes == 0 {
        return;
    }
    let before = measured(&services, &spec, &model).await.map_or(0, |before| before.host);
    if before.abs_diff(bytes) <= before / 50 {
        return;
    }
    let Ok(text) = serde_json::to_string(&Measurement { host: bytes, device: 0 }) else { return };
    if let Err(error) = services.store.put(&key(&services, &spec, &model).await, text).await {
        tracing::debug!(%error, instance = %spec.name, "its memory could not be remembered");
    }
}

/// Returns what an instance took when it was loaded with the same settings.
pub(crate) async fn measured(services: &Services, spec: &InstanceSpec, model: &InstalledModel) -> Option<MeasuredMemory> {
    let text = services.store.get(&key(services, spec, model).await).await.ok()??;
    let Measurement { host, device } = serde_json::from_str(&text).ok()?;
    Some(MeasuredMemory { host, device })
}

/// What is stored of a measurement.
#[derive(serde::Serialize, serde::Deserialize)]
struct Measurement {
    host: u64,
    #[serde(default)]
    device: u64,
}

fn of_both(host: u64, device_bytes: u64, device: Option<MemoryPool>) -> MemoryNeed {
    let mut need = MemoryNeed::host(host);
    need.0.extend(device.map(|pool| (pool, device_bytes)));
    need
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

/// Returns the GPU that an instance uses.
fn device_of(spec: &InstanceSpec) -> Option<MemoryPool> {
    (spec.gpu.backend != Backend::Cpu).then(|| MemoryPool::Device(spec.gpu.device_id.unwrap_or(0)))
}

fn configured(spec: &InstanceSpec) -> MemoryNeed {
    let host = spec.memory.host_mb.map(|mib| (MemoryPool::Host, mib.saturating_mul(MIB)));
    let device = device_of(spec).and_then(|pool| Some((pool, spec.memory.device_mb?.saturating_mul(MIB))));
    MemoryNeed(host.into_iter().chain(device).collect())
}

async fn estimated(services: &Services, spec: &InstanceSpec, model: &InstalledModel) -> MemoryNeed {
    let settings = services.runtime(spec.runtime).map_or_else(|_| LoadSettings::of_spec(spec), |runtime| runtime.load_settings(spec));
    let header = read_header(model.clone()).await;
    let estimate = match header {
        Some(header) => estimate(&header, &settings),
        None => estimate_by_length(model.size_bytes, &settings),
    };
    of_both(estimate.host.total(), estimate.device.total(), device_of(spec))
}

async fn read_header(model: InstalledModel) -> Option<ModelHeader> {
    tokio::task::spawn_blocking(move || ModelHeader::read(&model).ok()).await.ok().flatten()
}

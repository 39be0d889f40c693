//! What an instance needs: what its configuration says, else what was measured the last time it was loaded with the same
//! settings, else an estimate from its model's file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::policy::{MemoryNeed, MemoryPool};
use crate::instance::InstanceSpec;
use crate::instance::spec::Backend;
use crate::launcher::Workload;
use crate::memory::{DeviceLayers, LoadSettings, estimate};
use crate::model::gguf::GgufHeader;
use crate::model::{InstalledModel, ModelFormat};
use crate::orchestrator::Services;
use crate::store::StateStore;

const MIB: u64 = 1024 * 1024;
/// How long after a server became ready its memory is measured: it has worked for a while then.
const SETTLING: Duration = Duration::from_secs(2);

/// Returns what an instance is taken to need.
pub(crate) async fn need_of(store: &dyn StateStore, spec: &InstanceSpec, model: &InstalledModel) -> MemoryNeed {
    let configured = configured(spec);
    let device = device_of(spec);
    let is_complete = configured.0.contains_key(&MemoryPool::Host) && device.is_none_or(|pool| configured.0.contains_key(&pool));
    if is_complete {
        return configured;
    }
    let rest = match measured(store, spec, model).await {
        Some(measured) => measured,
        None => estimated(spec, model).await,
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
    let store = services.store.as_ref();
    let before = measured(store, &spec, &model).await.map_or(0, |need| need.of(MemoryPool::Host));
    if before.abs_diff(bytes) <= before / 50 {
        return;
    }
    let Ok(text) = serde_json::to_string(&Measurement { host: bytes, device: 0 }) else { return };
    if let Err(error) = store.put(&key(&spec, &model), text).await {
        tracing::debug!(%error, instance = %spec.name, "its memory could not be remembered");
    }
}

async fn measured(store: &dyn StateStore, spec: &InstanceSpec, model: &InstalledModel) -> Option<MemoryNeed> {
    let text = store.get(&key(spec, model)).await.ok()??;
    let measurement: Measurement = serde_json::from_str(&text).ok()?;
    Some(measurement.into_need(device_of(spec)))
}

/// What is stored of a measurement.
#[derive(serde::Serialize, serde::Deserialize)]
struct Measurement {
    host: u64,
    #[serde(default)]
    device: u64,
}

impl Measurement {
    fn into_need(self, device: Option<MemoryPool>) -> MemoryNeed {
        let mut need = MemoryNeed::host(self.host);
        need.0.extend(device.map(|pool| (pool, self.device)));
        need
    }
}

/// Everything that the memory depends on: another model file, another setting, another engine is another key.
fn key(spec: &InstanceSpec, model: &InstalledModel) -> String {
    let spec = &spec.without_secrets();
    let settings = serde_json::json!([
        model.path,
        model.size_bytes,
        spec.runtime,
        spec.model.context_size,
        spec.model.batch_size,
        spec.server.parallel,
        spec.gpu,
        spec.engine,
        spec.env_key,
        spec.args,
        spec.env,
    ]);
    format!("memory:{settings}")
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

async fn estimated(spec: &InstanceSpec, model: &InstalledModel) -> MemoryNeed {
    let layers = device_of(spec).map(|_| spec.gpu.layers.map_or(DeviceLayers::All, DeviceLayers::Some));
    let settings = LoadSettings { context: spec.model.context_size, parallel: spec.server.parallel, layers };
    let header = match model.format {
        ModelFormat::Gguf => read_header(model.path.clone()).await,
        ModelFormat::Safetensors => None,
    };
    let mut estimate = match header {
        Some(header) => estimate(&header, settings),
        None => crate::memory::MemoryEstimate { host: model.size_bytes, device: layers.map_or(0, |_| model.size_bytes) },
    };
    // A split model's first file has only a part of its tensors.
    let missing = model.size_bytes.saturating_sub(estimate.host.saturating_add(estimate.device));
    if layers.is_some() {
        estimate.device = estimate.device.saturating_add(missing);
    } else {
        estimate.host = estimate.host.saturating_add(missing);
    }
    Measurement { host: estimate.host, device: estimate.device }.into_need(device_of(spec))
}

async fn read_header(path: PathBuf) -> Option<GgufHeader> {
    tokio::task::spawn_blocking(move || GgufHeader::read(&path).ok()).await.ok().flatten()
}

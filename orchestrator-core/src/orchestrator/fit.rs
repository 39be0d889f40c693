//! Whether a model fits into this machine: its header, read here or at its source, against what is free.

use std::collections::BTreeMap;

use super::Orchestrator;
use crate::error::{Coded, Problem};
use crate::instance::spec::Backend;
use crate::memory::fit::{FitMachine, FitSubject, MeasuredMemory};
use crate::memory::{FitReport, FitRequest, fit};
use crate::model::compatibility::{self, ModelTraits, RunTarget};
use crate::model::{FileRole, InstalledModel, ModelHeader, ModelReference, PullPlan};
use crate::provider::{Provider, ProviderError, Variant};
use crate::scheduler::need;
use crate::scheduler::policy::MemoryPool;

/// What is known of a model before it is judged.
#[derive(Default)]
struct Known {
    header: Option<ModelHeader>,
    bytes: u64,
    projector_bytes: u64,
    measured: Option<MeasuredMemory>,
    variants: Vec<Variant>,
    traits: ModelTraits,
    notes: Vec<String>,
}

impl Orchestrator {
    /// Says whether a model fits, with numbers. A model that is not on this machine is asked for at its source, of which no
    /// more than its header is fetched.
    pub async fn fit(&self, reference: &ModelReference, request: FitRequest) -> Result<FitReport, Problem> {
        let services = &self.inner.services;
        let provider = services.provider_of(reference)?;
        let mut known = match provider.locate(reference).await {
            Ok(model) => self.known_here(&model, &request).await?,
            Err(ProviderError::NotInstalled { .. }) => known_there(provider.as_ref(), reference).await?,
            Err(error) => return Err(error.into()),
        };
        if names_no_form(reference) {
            match provider.variants(reference).await {
                Ok(variants) => known.variants = variants,
                Err(error) => tracing::debug!(%reference, %error, "its other forms could not be listed"),
            }
        }
        let machine = self.machine().await;
        let subject = FitSubject {
            reference,
            header: known.header.as_ref(),
            bytes: known.bytes,
            projector_bytes: known.projector_bytes,
            prompt_cache_bytes: services.runtimes.values().next().map_or(0, |runtime| runtime.prompt_cache_bytes()),
            measured: known.measured,
            variants: &known.variants,
        };
        let mut report = fit(&subject, &request, &machine)?;
        known.notes.extend(self.compatibility_notes(&known.traits, &report));
        report.notes.append(&mut known.notes);
        Ok(report)
    }

    /// Says what speaks against running the model here: what the engine that suits it best warns of, else why none runs it.
    fn compatibility_notes(&self, model: &ModelTraits, report: &FitReport) -> Vec<String> {
        let backend = report.device.as_ref().map_or(Backend::Cpu, |device| device.backend);
        let mut reasons = Vec::new();
        for (kind, runtime) in &self.inner.services.runtimes {
            let target = RunTarget { runtime: *kind, backend, architectures: runtime.known_architectures() };
            match compatibility::check(model, &target) {
                Ok(found) => return found.warnings,
                Err(reason) => {
                    let hint = reason.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                    reasons.push(format!("{reason}{hint}"));
                }
            }
        }
        reasons
    }

    async fn known_here(&self, model: &InstalledModel, request: &FitRequest) -> Result<Known, Problem> {
        let looked_at = model.clone();
        let read = tokio::task::spawn_blocking(move || ModelHeader::read(&looked_at));
        let header = match read.await {
            Ok(read) => Some(read?),
            Err(error) => {
                tracing::debug!(%error, "reading a header ended early");
                None
            }
        };
        let projector_bytes = match &model.projector {
            Some(path) => tokio::fs::metadata(path).await.map_or(0, |found| found.len()),
            None => 0,
        };
        let measured = self.measured(model, request).await;
        let mut traits = ModelTraits::from(model);
        if let Some(ModelHeader::Safetensors(read)) = &header {
            traits.needs_remote_code = read.config.needs_remote_code;
        }
        Ok(Known { header, bytes: model.size_bytes, projector_bytes, measured, traits, ..Known::default() })
    }

    /// Finds what an instance of the model took that is loaded as the request says.
    async fn measured(&self, model: &InstalledModel, request: &FitRequest) -> Option<MeasuredMemory> {
        let services = &self.inner.services;
        for spec in self.inner.fleet.configured_specs() {
            let Some(runtime) = services.runtimes.get(&spec.runtime) else { continue };
            let is_same = spec.model.reference == model.reference && request.asks_about(&spec, &runtime.load_settings(&spec));
            if is_same && let Some(measured) = need::measured(services, &spec, model).await {
                return Some(measured);
            }
        }
        None
    }

    /// Looks at what is free, and at what would be if nothing was loaded.
    async fn machine(&self) -> FitMachine {
        let scheduler = &self.inner.services.scheduler;
        let mut loaded: BTreeMap<MemoryPool, u64> = BTreeMap::new();
        for (_, handle) in self.inner.fleet.handles() {
            for (pool, bytes) in scheduler.view(handle.member).map(|view| view.memory.0).unwrap_or_default() {
                let held = loaded.entry(pool).or_default();
                *held = held.saturating_add(bytes);
            }
        }
        let hardware = self.hardware().await;
        let mut machine = FitMachine::from(hardware);
        for (pool, bytes) in loaded {
            match pool {
                MemoryPool::Host => machine.loaded_host_bytes = bytes,
                MemoryPool::Device(index) => {
                    machine.loaded_device_bytes.insert(index, bytes);
                }
            }
        }
        machine
    }
}

async fn known_there(provider: &dyn Provider, reference: &ModelReference) -> Result<Known, Problem> {
    let plan = provider.resolve(reference).await?;
    let bytes_of = |role: FileRole| bytes_of(&plan, role);
    let mut known = Known {
        bytes: bytes_of(FileRole::Weights),
        projector_bytes: bytes_of(FileRole::Projector),
        traits: ModelTraits::from(&plan),
        ..Known::default()
    };
    match provider.header(&plan).await {
        Ok(header) => {
            known.traits.architecture = header.architecture().map(str::to_owned).or(known.traits.architecture);
            known.header = Some(header);
        }
        Err(error) => {
            tracing::debug!(%reference, %error, "its header could not be read at its source");
            known.notes.push(format!("its header could not be read at its source ({error}): the numbers follow from its length alone"));
        }
    }
    Ok(known)
}

fn bytes_of(plan: &PullPlan, role: FileRole) -> u64 {
    let files = plan.files.iter().filter(|file| file.role == role);
    files.filter_map(|file| file.size_bytes).fold(0, u64::saturating_add)
}

/// Says whether a reference leaves the choice of the file to its provider.
fn names_no_form(reference: &ModelReference) -> bool {
    match reference {
        ModelReference::HuggingFace { selector, .. } => selector.is_none(),
        ModelReference::Ollama { tag, .. } => tag.is_none(),
        ModelReference::File { .. } => false,
    }
}

//! Fetching a model, as an operation that survives us.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::super::{Orchestrator, Services};
use super::disk::{self, DiskLimits, DiskUse};
use crate::config::daemon::ModelsConfig;
use crate::error::{Coded as _, ErrorCode, Problem};
use crate::instance::spec::Backend;
use crate::model::compatibility::{self, Incompatibility, ModelTraits, RunTarget, compatible_runtimes};
use crate::model::{ModelReference, PullPlan};
use crate::operation::registry::OperationProgress;
use crate::operation::{Operation, OperationKind, Progress, ProgressUpdate};
use crate::provider::{Provider, ProviderError, PullWatch};
use crate::runtime::RuntimeKind;

/// How often the file system is asked for its free space while a model is fetched.
const DISK_LOOK: Duration = Duration::from_secs(2);
/// How often an interrupted pull asks its source again before it gives up, and how long it waits between two tries.
const RESUME_TRIES: u32 = 20;
const RESUME_WAIT: Duration = Duration::from_secs(30);
const GB: u64 = 1_000_000_000;

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequest {
    /// The model.
    pub reference: ModelReference,
    /// The runtime it is meant for: it is refused when that one cannot run it. Any runtime will do, when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// Whether somebody said that it is wanted although it is large.
    #[serde(default)]
    pub confirmed: bool,
}

/// Whose turn it is to fetch, and what room is promised to whom.
pub(crate) struct PullDesk {
    turns: Arc<Semaphore>,
    promised: Mutex<BTreeMap<String, u64>>,
}

impl PullDesk {
    pub(crate) fn new(config: &ModelsConfig) -> Self {
        Self { turns: Arc::new(Semaphore::new(config.parallel_pulls.get() as usize)), promised: Mutex::default() }
    }

    /// Promises room to a pull, if `check` finds that there is some besides what was promised to others.
    fn promise<E>(self: &PullDesk, name: &str, bytes: u64, check: impl FnOnce(u64) -> Result<(), E>) -> Result<(), E> {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let others = promised.iter().filter(|(other, _)| *other != name).map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        check(others)?;
        promised.insert(name.to_owned(), bytes);
        Ok(())
    }

    /// Returns whether nothing is promised to anybody.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn release(&self, name: &str) {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Room that is promised for as long as this lives.
struct Promise {
    services: Arc<Services>,
    name: String,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.services.pulls.release(&self.name);
    }
}

impl Orchestrator {
    /// Begins to fetch a model. Asking for one that is being fetched joins that.
    ///
    /// # Errors
    /// Fails at once when the source does not have it or does not give it to us, when no runtime can run it, when there is no room
    /// for it, and with `model.confirmation_needed` when it is large and nobody said that it is wanted.
    pub async fn pull_model(&self, request: PullRequest) -> Result<Operation, Problem> {
        let kind = OperationKind::Pull { reference: request.reference.clone() };
        if let Some(running) = self.inner.operations.under_way(&kind) {
            return Ok(running);
        }
        let services = self.inner.services.clone();
        let provider = services.provider_of(&request.reference)?.clone();
        let plan = provider.resolve(&request.reference).await?;
        self.check_compatible(&plan, request.runtime)?;
        let promise = promise_room(&services, provider.as_ref(), &plan).await?;
        confirm(&services, &plan, request.confirmed)?;
        let work = move |progress: OperationProgress, cancel: CancellationToken| async move {
            fetch(&services, provider.as_ref(), &plan, &progress, &cancel).await?;
            drop(promise);
            Ok(())
        };
        self.inner.operations.begin(kind, work).await
    }

    /// Refuses what nothing should run, and what the runtime that it is meant for cannot run. A model that no runtime of this build can
    /// run may be meant for another program: that is only said.
    fn check_compatible(&self, plan: &PullPlan, runtime: Option<RuntimeKind>) -> Result<(), Problem> {
        let traits = ModelTraits::from(plan);
        let target = |runtime| RunTarget { runtime, backend: Backend::Cpu, architectures: &[] };
        if let Some(runtime) = runtime {
            self.inner.services.runtime(runtime)?;
            compatibility::check(&traits, &target(runtime)).map_err(|reason| incompatible(plan, &reason))?;
            return Ok(());
        }
        match compatibility::check(&traits, &target(RuntimeKind::LlamaCpp)) {
            Err(reason @ (Incompatibility::Pickle { .. } | Incompatibility::Part { .. })) => Err(incompatible(plan, &reason)),
            Err(reason) if compatible_runtimes(&traits).is_empty() => {
                self.warn(None, format!("no runtime here can run `{}`: {reason}", plan.reference));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Goes on with a pull that an earlier owner had begun.
    pub(super) fn resume_pull(&self, operation: &Operation, reference: ModelReference) {
        let services = self.inner.services.clone();
        let work = move |progress: OperationProgress, cancel: CancellationToken| async move {
            let provider = services.provider_of(&reference)?.clone();
            let plan = ask_again(provider.as_ref(), &reference, &progress, &cancel).await?;
            let promise = promise_room(&services, provider.as_ref(), &plan).await?;
            fetch(&services, provider.as_ref(), &plan, &progress, &cancel).await?;
            drop(promise);
            Ok(())
        };
        self.inner.operations.resume(operation, work);
    }
}

/// A machine that was just switched on may have no network yet.
async fn ask_again(
    provider: &dyn Provider,
    reference: &ModelReference,
    progress: &OperationProgress,
    cancel: &CancellationToken,
) -> Result<PullPlan, Problem> {
    let mut tries = 0;
    loop {
        let error = match provider.resolve(reference).await {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        tries += 1;
        if !matches!(error, ProviderError::Source { .. }) || tries >= RESUME_TRIES {
            return Err(error.into());
        }
        progress.update(ProgressUpdate { phase: format!("waiting for the source: {error}"), ..ProgressUpdate::default() });
        if cancel.run_until_cancelled(tokio::time::sleep(RESUME_WAIT)).await.is_none() {
            return Err(ProviderError::Cancelled { reference: reference.clone() }.into());
        }
    }
}

fn incompatible(plan: &PullPlan, reason: &Incompatibility) -> Problem {
    let mut problem = Problem::new(reason.code(), format!("`{}` cannot be run", plan.reference)).with_cause(reason.to_string());
    problem.hint = reason.hint();
    problem
}

fn confirm(services: &Services, plan: &PullPlan, confirmed: bool) -> Result<(), Problem> {
    let (missing, limit) = (plan.missing_bytes(), services.config.models.confirm_above_gb.saturating_mul(GB));
    if confirmed || missing <= limit {
        return Ok(());
    }
    let title = format!("`{}` is large: {} are to be fetched", plan.reference, disk::size(missing));
    let problem = Problem::new(ErrorCode::ModelUnconfirmed, title);
    Err(problem.with_hint(format!(
        "say that it is wanted: `orch model pull {} --yes`, or `\"confirmed\": true`; `models.confirm_above_gb` in `config.yaml` is the limit",
        plan.reference
    )))
}

async fn promise_room(services: &Arc<Services>, provider: &dyn Provider, plan: &PullPlan) -> Result<Option<Promise>, Problem> {
    let Some(folder) = provider.store_dir() else { return Ok(None) };
    let disk = disk_use(services, &folder).await?;
    let (limits, needed, name) = (DiskLimits::of(&services.config.models), plan.missing_bytes(), plan.reference.to_string());
    let check = |reserved| limits.check(DiskUse { reserved, ..disk }, needed);
    services.pulls.promise(&name, needed, check).map_err(|shortage| shortage.into_problem(&format!("`{name}`"), &folder))?;
    Ok(Some(Promise { services: services.clone(), name }))
}

/// Returns what the models that we fetched take, and what the file system has left.
async fn disk_use(services: &Services, folder: &Path) -> Result<DiskUse, Problem> {
    let used = super::usage::fetched_bytes(&services.store.models().await?);
    let folder = folder.to_path_buf();
    let free =
        tokio::task::spawn_blocking(move || disk::free_bytes(&folder)).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    // Where it does not tell, the write itself will.
    Ok(DiskUse { used, reserved: 0, free: free.unwrap_or(u64::MAX) })
}

async fn fetch(
    services: &Services,
    provider: &dyn Provider,
    plan: &PullPlan,
    progress: &OperationProgress,
    cancel: &CancellationToken,
) -> Result<(), Problem> {
    let cancelled = || ProviderError::Cancelled { reference: plan.reference.clone() };
    let _turn = if let Ok(turn) = services.pulls.turns.try_acquire() {
        turn
    } else {
        progress.update(ProgressUpdate { phase: "waiting for another pull".to_owned(), ..ProgressUpdate::default() });
        let turn = cancel.run_until_cancelled(services.pulls.turns.acquire()).await;
        let Some(Ok(turn)) = turn else { return Err(cancelled().into()) };
        turn
    };
    let stop = cancel.child_token();
    let pull = provider.pull(plan, PullWatch { progress, cancel: &stop });
    let mut pull = std::pin::pin!(pull);
    let mut pulled = tokio::select! {
        pulled = &mut pull => pulled?,
        shortage = runs_short(services, provider.store_dir(), plan) => {
            stop.cancel();
            // It puts down what it has, for the next try.
            let _ = pull.await;
            return Err(shortage);
        }
    };
    // Not every store has a place for it.
    if pulled.licence.is_none() {
        pulled.licence.clone_from(&plan.licence);
    }
    services.remember_model(pulled).await
}

/// Waits until the file system, which others write to as well, has less left than must stay free.
async fn runs_short(services: &Services, folder: Option<PathBuf>, plan: &PullPlan) -> Problem {
    let Some(folder) = folder else { return std::future::pending().await };
    let limits = DiskLimits::of(&services.config.models);
    loop {
        tokio::time::sleep(DISK_LOOK).await;
        let looked = folder.clone();
        let free = tokio::task::spawn_blocking(move || disk::free_bytes(&looked)).await;
        let Ok(Ok(free)) = free else { continue };
        // The parts that are here are counted by the file system already; one more byte must fit.
        if let Err(shortage) = limits.check(DiskUse { used: 0, reserved: 0, free }, 1) {
            return shortage.into_problem(&format!("the rest of `{}`", plan.reference), &folder);
        }
    }
}

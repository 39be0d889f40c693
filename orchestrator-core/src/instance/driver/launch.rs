//! The way from a configuration to a started program: model, engine, port, plan, process.

use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::logs::LogKeeper;
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind, Timestamp};
use crate::instance::InstanceSpec;
use crate::instance::state::{RunningServer, StartStep};
use crate::launcher::{LaunchOrder, Workload};
use crate::model::compatibility::{self, ModelTraits, RunTarget};
use crate::names::InstanceName;
use crate::orchestrator::Services;
use crate::runtime::PlanRequest;
use crate::scheduler::policy::{MemberId, NoRoom};
use crate::scheduler::{RoomAnswer, need};

/// A program that was started.
pub(super) struct Launched {
    pub(super) workload: Arc<dyn Workload>,
    pub(super) server: RunningServer,
    /// Where its part of the error log begins.
    pub(super) stderr_offset: u64,
}

/// Which step a launch is at.
pub(super) struct LaunchSteps(watch::Receiver<StartStep>);

impl LaunchSteps {
    pub(super) fn current(&self) -> StartStep {
        *self.0.borrow()
    }
}

/// What became of a launch.
pub(super) enum LaunchOutcome {
    /// The program runs.
    Launched(Launched),
    /// It could not be started.
    Failed(Problem),
    /// Nobody wants it any more; nothing was started.
    CalledOff,
}

pub(super) type Launch = Pin<Box<dyn Future<Output = LaunchOutcome> + Send>>;

/// What is launched.
pub(super) struct LaunchRequest {
    pub(super) member: MemberId,
    pub(super) spec: Arc<InstanceSpec>,
    pub(super) logs: LogKeeper,
    /// The port it had before.
    pub(super) last_port: Option<u16>,
}

/// Prepares a launch. Nothing happens until the future is polled; once the program is started, it is in the result.
pub(super) fn launch(services: Arc<Services>, request: LaunchRequest) -> (LaunchSteps, Launch) {
    let (steps, seen) = watch::channel(StartStep::ResolvingModel);
    let launch = Box::pin(async move {
        match perform(&services, request, &steps).await {
            Ok(Some(launched)) => LaunchOutcome::Launched(launched),
            Ok(None) => LaunchOutcome::CalledOff,
            Err(problem) => LaunchOutcome::Failed(problem),
        }
    });
    (LaunchSteps(seen), launch)
}

async fn perform(services: &Arc<Services>, request: LaunchRequest, steps: &watch::Sender<StartStep>) -> Result<Option<Launched>, Problem> {
    let LaunchRequest { member, spec, logs, last_port } = request;
    let model = services.resolve_model(&spec.model.reference).await?;
    steps.send_replace(StartStep::FindingEngine);
    let runtime = services.runtime(spec.runtime)?;
    let target = RunTarget { runtime: spec.runtime, backend: spec.gpu.backend, architectures: runtime.known_architectures() };
    for warning in compatibility::check(&ModelTraits::from(&model), &target)?.warnings {
        tracing::warn!(instance = %spec.name, "{warning}");
    }
    let engine = runtime.find_engine(&spec, services.environments.as_ref()).await?;
    let need = need::need_of(services, &spec, &model).await;
    steps.send_replace(StartStep::WaitingForRoom);
    match services.scheduler.room(member, need).await {
        RoomAnswer::Permitted { is_short } => {
            if is_short {
                services.warn_short_of_memory(&spec.name);
            }
        }
        RoomAnswer::CalledOff => return Ok(None),
        RoomAnswer::None(reason) => return Err(no_room(&spec.name, &reason)),
    }
    steps.send_replace(StartStep::Launching);
    if spec.server.port.is_some() {
        // A worker that outlived its server may hold the very port that is about to be claimed.
        services.launcher.end_leftovers(&spec.name).await?;
    }
    let listen = SocketAddr::new(spec.server.host, services.choose_port(&spec, last_port).await?);
    let plan = runtime.plan(&PlanRequest { spec: &spec, model: &model, engine: &engine, listen })?;
    let output = services.output_files(&spec);
    let stderr_offset = logs.rotate_for_start(services, &spec).await;
    let health_path = spec.healthcheck.path.clone().unwrap_or_else(|| plan.health_path.clone());
    let order = LaunchOrder { instance: spec.name.clone(), plan, output };
    let started_at = Timestamp::now();
    let workload = services.launcher.start(&order).await?;
    let server = RunningServer { identity: workload.identity().clone(), address: listen, started_at, health_path };
    Ok(Some(Launched { workload, server, stderr_offset }))
}

fn no_room(name: &InstanceName, reason: &NoRoom) -> Problem {
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    match reason {
        NoRoom::Memory { pool, need, budget, pinned } => {
            let problem = Problem::new(ErrorCode::NoRoom, format!("`{name}` does not fit into the {pool}"));
            let mut cause = format!("it needs {} MiB, and all instances together may have {} MiB", mib(*need), mib(*budget));
            if *pinned > 0 {
                let _ = write!(cause, ", of which pinned ones hold {} MiB", mib(*pinned));
            }
            problem.with_cause(cause).with_hint(format!(
                "use a smaller model, quantisation or `model.context_size`; if the need is estimated too high, set `memory` in the \
                 configuration of `{name}`; `limits` in `config.yaml` has what instances may have"
            ))
        }
        NoRoom::Places { most } => {
            let problem = Problem::new(ErrorCode::NoRoom, format!("there is no place for `{name}`"));
            let problem = problem.with_cause(format!("{most} may run at once, and pinned instances have all places"));
            problem.with_hint("raise `limits.max_running` in `config.yaml`, or take `pinned` out of one of them")
        }
    }
}

impl Services {
    fn warn_short_of_memory(&self, name: &InstanceName) {
        let message = format!("`{name}` starts although the machine does not have as much memory free as it should");
        tracing::warn!(instance = %name, "{message}");
        self.events.record(EventDraft::new(EventKind::Warning, message).about(name));
    }

    /// Chooses the port of a server: the configured one or none at all; else the first instance's fixed port, the
    /// one it had before, or a free one.
    async fn choose_port(&self, spec: &InstanceSpec, last_port: Option<u16>) -> Result<u16, Problem> {
        let (book, instance, host) = (self.ports.clone(), spec.name.clone(), spec.server.host);
        let configured = spec.server.port.map(std::num::NonZeroU16::get);
        let preferred = [self.config.first_instance_port, last_port];
        let chosen = tokio::task::spawn_blocking(move || match configured {
            Some(port) => book.claim_configured(&instance, SocketAddr::new(host, port)),
            None => book.claim_any(&instance, host, &preferred),
        });
        chosen.await.map_err(|error| Problem::new(ErrorCode::Internal, "choosing a port failed").with_cause(error.to_string()))?
    }
}

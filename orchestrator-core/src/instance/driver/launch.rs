//! The way from a configuration to a started program: model, engine, port, plan, process.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::logs::LogKeeper;
use crate::error::{ErrorCode, Problem};
use crate::event::Timestamp;
use crate::instance::InstanceSpec;
use crate::instance::state::{RunningServer, StartStep};
use crate::launcher::{LaunchOrder, Workload};
use crate::orchestrator::Services;
use crate::runtime::PlanRequest;

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

type Launch = Pin<Box<dyn Future<Output = Result<Launched, Problem>> + Send>>;

/// Prepares a launch. Nothing happens until the future is polled; once the program is started, it is in the result.
pub(super) fn launch(services: Arc<Services>, spec: Arc<InstanceSpec>, logs: LogKeeper, last_port: Option<u16>) -> (LaunchSteps, Launch) {
    let (steps, seen) = watch::channel(StartStep::ResolvingModel);
    let launch = async move {
        let model = services.resolve_model(&spec.model.reference).await?;
        steps.send_replace(StartStep::FindingEngine);
        let runtime = services.runtime(spec.runtime)?;
        let engine = runtime.find_engine(&spec, services.environments.as_ref()).await?;
        steps.send_replace(StartStep::Launching);
        if spec.server.port.is_some() {
            // A worker that outlived its server may hold the very port that is about to be claimed.
            services.launcher.end_leftovers(&spec.name).await?;
        }
        let listen = SocketAddr::new(spec.server.host, services.choose_port(&spec, last_port).await?);
        let plan = runtime.plan(&PlanRequest { spec: &spec, model: &model, engine: &engine, listen })?;
        let output = services.output_files(&spec);
        let stderr_offset = logs.rotate_for_start(&services, &spec).await;
        let health_path = spec.healthcheck.path.clone().unwrap_or_else(|| plan.health_path.clone());
        let order = LaunchOrder { instance: spec.name.clone(), plan, output };
        let started_at = Timestamp::now();
        let workload = services.launcher.start(&order).await?;
        let server = RunningServer { identity: workload.identity().clone(), address: listen, started_at, health_path };
        Ok(Launched { workload, server, stderr_offset })
    };
    (LaunchSteps(seen), Box::pin(launch))
}

impl Services {
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

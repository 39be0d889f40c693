//! What an instance's task is waiting for. Each phase holds its futures, and shows itself as an [`InstanceState`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::launch::{Launch, LaunchOutcome, LaunchSteps, Launched};
use super::{Adopted, DriverEvent, FIRST_LOADING_POLL, LOADING_POLL_GROWTH, LONGEST_LOADING_POLL};
use crate::event::Timestamp;
use crate::instance::InstanceSpec;
use crate::instance::probe::{Probe, ProbeOutcome};
use crate::instance::state::{ExitCause, ExitReport, Failure, InstanceState, RunningServer, StartStep};
use crate::launcher::{LaunchError, Workload, WorkloadExit};
use crate::orchestrator::Services;
use crate::scheduler::policy::Eviction;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why a server is being ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    Requested,
    NeverReady {
        /// What was seen when it was last asked.
        reason: String,
    },
    Unresponsive,
    /// Somebody else answers on its port.
    PortTaken,
    /// It is unloaded: another one needs its room, or nobody needs it.
    Unloaded(Eviction),
}

impl Trouble {
    pub(super) fn cause(&self) -> ExitCause {
        match self {
            Self::Requested | Self::Unloaded(_) => ExitCause::Requested,
            Self::NeverReady { reason } => ExitCause::NeverReady { reason: reason.clone() },
            Self::Unresponsive => ExitCause::Unresponsive,
            Self::PortTaken => ExitCause::PortTaken,
        }
    }
}

/// Where a loading server comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// We started it a moment ago.
    Started,
    /// An earlier owner of this home started it, and nobody knows how long it took to load.
    TakenOver,
}

/// A server that runs and is not ready yet.
pub(super) struct Loading {
    pub(super) workload: Arc<dyn Workload>,
    pub(super) server: RunningServer,
    pub(super) origin: Origin,
    pub(super) begun: Instant,
    pub(super) detail: String,
    /// Until when it must be ready.
    pub(super) deadline: Instant,
    /// Where its part of the error log begins.
    pub(super) stderr_offset: u64,
    /// Whether the last answer came from a port on which it was not seen to listen.
    pub(super) is_doubted: bool,
    probe: Probe,
    timeout: Duration,
    wait: Duration,
    answer: BoxFuture<ProbeOutcome>,
    exit: BoxFuture<WorkloadExit>,
}

impl Loading {
    /// Begins with a server that was just started.
    pub(super) fn started(launched: Launched, services: &Arc<Services>, spec: &InstanceSpec) -> Self {
        let Launched { workload, server, stderr_offset } = launched;
        Self::begin(Adopted { workload, server }, Origin::Started, services, spec).with_log_from(stderr_offset)
    }

    /// Begins with a server of an earlier owner.
    pub(super) fn taken_over(adopted: Adopted, services: &Arc<Services>, spec: &InstanceSpec) -> Self {
        Self::begin(adopted, Origin::TakenOver, services, spec)
    }

    fn with_log_from(mut self, stderr_offset: u64) -> Self {
        self.stderr_offset = stderr_offset;
        self
    }

    fn begin(adopted: Adopted, origin: Origin, services: &Arc<Services>, spec: &InstanceSpec) -> Self {
        let Adopted { workload, server } = adopted;
        let timeout = spec.healthcheck.timeout.get();
        let probe = Probe::new(services, spec, &server);
        let now = Instant::now();
        Self {
            exit: exit_of(&workload),
            workload,
            server,
            origin,
            begun: now,
            detail: String::new(),
            deadline: now + spec.healthcheck.start_period.get(),
            stderr_offset: 0,
            is_doubted: false,
            answer: Box::pin(ask_after(Duration::ZERO, &probe, timeout)),
            probe,
            timeout,
            wait: FIRST_LOADING_POLL,
        }
    }

    /// Arms the next question, a little later each time and never past the deadline.
    pub(super) fn probe_again(&mut self) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = self.timeout.min(left.max(FIRST_LOADING_POLL));
        self.answer = Box::pin(ask_after(self.wait.min(left), &self.probe, timeout));
        self.wait = self.wait.mul_f32(LOADING_POLL_GROWTH).min(LONGEST_LOADING_POLL);
    }
}

/// What is wrong with a server that should answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unhealthy {
    since: Timestamp,
    pub(super) reason: String,
    /// How many answers in a row were bad.
    bad_answers: u16,
    /// How many of them get it replaced.
    limit: u16,
}

/// A server that was ready.
pub(super) struct Serving {
    pub(super) workload: Arc<dyn Workload>,
    pub(super) server: RunningServer,
    pub(super) since: Instant,
    ready_at: Timestamp,
    pub(super) stderr_offset: u64,
    pub(super) unhealthy: Option<Unhealthy>,
    /// How many answers in a row were bad.
    pub(super) bad_answers: u16,
    probe: Probe,
    timeout: Duration,
    answer: BoxFuture<ProbeOutcome>,
    exit: BoxFuture<WorkloadExit>,
}

impl Serving {
    pub(super) fn begin(loading: &Loading, interval: Duration) -> Self {
        Self {
            exit: exit_of(&loading.workload),
            workload: loading.workload.clone(),
            server: loading.server.clone(),
            since: Instant::now(),
            ready_at: Timestamp::now(),
            stderr_offset: loading.stderr_offset,
            unhealthy: None,
            bad_answers: 0,
            answer: Box::pin(ask_after(interval, &loading.probe, loading.timeout)),
            probe: loading.probe.clone(),
            timeout: loading.timeout,
        }
    }

    /// Takes in an answer; `retries` bad ones in a row make the server unhealthy, one good one heals it.
    pub(super) fn note(&mut self, outcome: ProbeOutcome, retries: u16) {
        let reason = match outcome {
            ProbeOutcome::Healthy => {
                self.bad_answers = 0;
                self.unhealthy = None;
                return;
            }
            ProbeOutcome::Loading { detail } => format!("it says it is not ready: {detail}"),
            ProbeOutcome::Refused => "it does not listen any more".to_owned(),
            ProbeOutcome::Bad { reason } => reason,
        };
        self.bad_answers = self.bad_answers.saturating_add(1);
        if self.bad_answers >= retries {
            let since = self.unhealthy.as_ref().map_or_else(Timestamp::now, |unhealthy| unhealthy.since);
            self.unhealthy = Some(Unhealthy { since, reason, bad_answers: self.bad_answers, limit: replaced_after(retries) });
        }
    }

    /// Returns whether so many answers in a row were bad that the server is to be replaced.
    pub(super) fn is_hopeless(&self, retries: u16) -> bool {
        self.bad_answers >= replaced_after(retries)
    }

    /// Arms the next question. After a bad answer the next one comes sooner.
    pub(super) fn probe_again(&mut self, interval: Duration) {
        let wait = if self.bad_answers == 0 { interval } else { interval.min(Duration::from_secs(1)) };
        self.answer = Box::pin(ask_after(wait, &self.probe, self.timeout));
    }
}

/// What an instance's task is waiting for.
pub(super) enum Phase {
    Stopped {
        last_exit: Option<ExitReport>,
    },
    Starting {
        since: Timestamp,
        steps: LaunchSteps,
        launch: BoxFuture<LaunchOutcome>,
        /// Whether it is to be ended as soon as it is there.
        stop_asked: bool,
    },
    Loading(Loading),
    Serving(Serving),
    Stopping {
        server: RunningServer,
        since: Timestamp,
        trouble: Trouble,
        /// For how long it had been ready.
        ready_for: Option<Duration>,
        stderr_offset: u64,
        stop: BoxFuture<Result<WorkloadExit, LaunchError>>,
    },
    Backoff {
        until: Instant,
        due: Timestamp,
        attempt: u32,
        failure: Failure,
    },
    Failed {
        since: Timestamp,
        failure: Failure,
    },
}

impl Phase {
    pub(super) fn starting((steps, launch): (LaunchSteps, Launch)) -> Self {
        Self::Starting { since: Timestamp::now(), steps, launch, stop_asked: false }
    }

    pub(super) fn stopping(
        workload: Arc<dyn Workload>,
        server: RunningServer,
        trouble: Trouble,
        grace: Duration,
        stderr_offset: u64,
        ready_for: Option<Duration>,
    ) -> Self {
        let stop = Box::pin(async move { workload.stop(grace).await });
        Self::Stopping { server, since: Timestamp::now(), trouble, ready_for, stderr_offset, stop }
    }

    /// Waits for what this phase waits for. Cancel-safe: the futures stay in the phase.
    pub(super) async fn next_event(&mut self) -> DriverEvent {
        match self {
            Self::Stopped { .. } | Self::Failed { .. } => std::future::pending().await,
            Self::Starting { launch, .. } => DriverEvent::Launched(launch.await),
            Self::Loading(loading) => next_of_running(&mut loading.exit, &mut loading.answer).await,
            Self::Serving(serving) => next_of_running(&mut serving.exit, &mut serving.answer).await,
            Self::Stopping { stop, .. } => DriverEvent::Stopped(stop.await),
            Self::Backoff { until, .. } => {
                // A timer would round a wait of nothing up to its next tick.
                if *until > Instant::now() {
                    tokio::time::sleep_until((*until).into()).await;
                }
                DriverEvent::RestartDue
            }
        }
    }

    /// Returns whether it is a wait that has no time left.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Backoff { until, .. } if *until <= Instant::now())
    }

    /// Shows the phase as others see it.
    pub(super) fn state(&self) -> InstanceState {
        match self {
            Self::Stopped { last_exit } => InstanceState::Stopped { last_exit: last_exit.clone() },
            Self::Starting { since, steps, .. } => InstanceState::Starting { since: *since, step: steps.current() },
            Self::Loading(loading) => InstanceState::Loading { server: loading.server.clone(), detail: loading.detail.clone() },
            Self::Serving(serving) => match &serving.unhealthy {
                None => InstanceState::Ready { server: serving.server.clone(), since: serving.ready_at },
                Some(Unhealthy { since, reason, bad_answers, limit }) => InstanceState::Unhealthy {
                    server: serving.server.clone(),
                    since: *since,
                    reason: reason.clone(),
                    bad_answers: *bad_answers,
                    replaced_after: *limit,
                },
            },
            Self::Stopping { server, since, .. } => InstanceState::Stopping { server: server.clone(), since: *since },
            Self::Backoff { due, attempt, failure, .. } => {
                InstanceState::Backoff { until: *due, attempt: *attempt, failure: failure.clone() }
            }
            Self::Failed { since, failure } => InstanceState::Failed { since: *since, failure: failure.clone() },
        }
    }

    /// Returns when the next start is due, in the phase that waits for one.
    pub(super) fn next_start(&self) -> Option<Instant> {
        match self {
            Self::Backoff { until, .. } => Some(*until),
            Self::Stopped { .. }
            | Self::Starting { .. }
            | Self::Loading(_)
            | Self::Serving(_)
            | Self::Stopping { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// Returns whether it is about to start, and nothing was started yet nor will be without its turn.
    pub(super) fn waits_for_room(&self) -> bool {
        matches!(self, Self::Starting { steps, .. } if steps.current() == StartStep::WaitingForRoom)
    }

    /// Returns the server's workload, in the phases that have one to watch.
    pub(super) fn workload(&self) -> Option<&Arc<dyn Workload>> {
        match self {
            Self::Loading(loading) => Some(&loading.workload),
            Self::Serving(serving) => Some(&serving.workload),
            Self::Stopped { .. } | Self::Starting { .. } | Self::Stopping { .. } | Self::Backoff { .. } | Self::Failed { .. } => None,
        }
    }
}

/// An exit is seen before an answer: a dead server's last answer says nothing.
async fn next_of_running(exit: &mut BoxFuture<WorkloadExit>, answer: &mut BoxFuture<ProbeOutcome>) -> DriverEvent {
    tokio::select! {
        biased;
        exit = exit => DriverEvent::Exited(exit),
        outcome = answer => DriverEvent::Probed(outcome),
    }
}

fn exit_of(workload: &Arc<dyn Workload>) -> BoxFuture<WorkloadExit> {
    let workload = workload.clone();
    Box::pin(async move { workload.wait().await })
}

/// Twice the bad answers that make a server unhealthy get it replaced.
const fn replaced_after(retries: u16) -> u16 {
    retries.saturating_mul(2)
}

fn ask_after(wait: Duration, probe: &Probe, timeout: Duration) -> impl Future<Output = ProbeOutcome> + Send + use<> {
    let probe = probe.clone();
    async move {
        tokio::time::sleep(wait).await;
        probe.ask(timeout).await
    }
}

//! The task that owns one instance: it alone starts, watches and ends the instance's server.
//!
//! A loop of [`Driver::next_event`] and [`Driver::handle_event`]. What the task is waiting for lives in its
//! [`Phase`], futures included, so that losing a race in the `select!` loses nothing. Everybody else sends a
//! [`Command`] or reads the published [`InstanceSnapshot`].

mod launch;
mod phase;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument, debug, info_span, warn};

use super::activity::Activity;
use super::probe::ProbeOutcome;
use super::restart::{RestartDecision, RestartHistory, decide};
use super::state::{ExitCause, ExitReport, Failure, InstanceSnapshot, RunningServer};
use super::{InstanceSpec, last_words};
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind, Timestamp};
use crate::launcher::{LaunchError, Workload, WorkloadExit};
use crate::names::InstanceName;
use crate::orchestrator::Services;
use crate::store::InstanceRecord;
use launch::Launched;
use phase::{Loading, Phase, Serving, Trouble};

/// How many commands may wait for an instance's task.
const COMMAND_QUEUE: usize = 32;
/// The first wait between two questions to a loading server; it grows up to [`LONGEST_LOADING_POLL`].
const FIRST_LOADING_POLL: Duration = Duration::from_millis(5);
/// The longest wait between two questions to a loading server.
const LONGEST_LOADING_POLL: Duration = Duration::from_millis(250);

/// What others ask of an instance's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run a server with this configuration. A server that runs already is left alone.
    Up { spec: Arc<InstanceSpec>, accepted: oneshot::Sender<()> },
    /// End the server, if there is one.
    Down { accepted: oneshot::Sender<Result<(), Problem>> },
    /// End the server, if there is one, and run one with this configuration.
    Restart { spec: Arc<InstanceSpec>, accepted: oneshot::Sender<()> },
}

/// What can happen to an instance's task.
enum DriverEvent {
    Command(Command),
    Launched(Result<Launched, Problem>),
    Exited(WorkloadExit),
    Probed(ProbeOutcome),
    Stopped(Result<WorkloadExit, LaunchError>),
    RestartDue,
    /// The owner of this home goes; servers stay.
    Detach,
}

/// A server of an earlier owner that was found alive.
pub(crate) struct Adopted {
    pub(crate) workload: Arc<dyn Workload>,
    pub(crate) server: RunningServer,
}

/// How an instance's task begins.
pub(crate) enum Beginning {
    /// Nothing runs.
    Stopped,
    /// Nothing runs, and something should: its server died while nobody watched.
    Lost { restarts: u32 },
    /// A server of an earlier owner runs.
    Adopted { adopted: Adopted, wanted: bool, restarts: u32 },
}

/// Others' end of an instance's task.
#[derive(Clone)]
pub(crate) struct InstanceHandle {
    commands: mpsc::Sender<Command>,
    pub(crate) snapshot: watch::Receiver<InstanceSnapshot>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) workload: watch::Receiver<Option<Arc<dyn Workload>>>,
}

impl InstanceHandle {
    /// Sends a command. Fails when the task is gone, which only happens at shutdown.
    pub(crate) async fn send(&self, command: Command) -> Result<(), Problem> {
        self.commands.send(command).await.map_err(|_| Problem::new(ErrorCode::DaemonStopping, "the daemon is shutting down"))
    }
}

/// Starts the task of one instance.
pub(crate) fn spawn(services: &Arc<Services>, spec: Arc<InstanceSpec>, beginning: Beginning) -> InstanceHandle {
    let (commands, inbox) = mpsc::channel(COMMAND_QUEUE);
    let activity = Arc::new(Activity::new(spec.concurrency));
    let (phase, wanted, restarts, workload) = match beginning {
        Beginning::Stopped => (Phase::Stopped { last_exit: None }, false, 0, None),
        Beginning::Lost { restarts } => {
            let report = ExitReport { cause: ExitCause::Unknown, stderr_tail: Vec::new(), at: Timestamp::now() };
            let waiting = Phase::Backoff { until: Instant::now(), due: Timestamp::now(), attempt: 1, failure: Failure::Exited(report) };
            (waiting, true, restarts, None)
        }
        Beginning::Adopted { adopted, wanted, restarts } => {
            let workload = Some(adopted.workload.clone());
            (Phase::Loading(Loading::begin(adopted, &spec, 0)), wanted, restarts, workload)
        }
    };
    let snapshot = InstanceSnapshot { spec: spec.clone(), state: phase.state(), restarts, generation: 0 };
    let (publisher, snapshot) = watch::channel(snapshot);
    let (workload_publisher, workload) = watch::channel(workload);
    let span = info_span!("instance", name = %spec.name);
    let driver = Driver {
        name: spec.name.clone(),
        spec,
        wanted,
        restarts,
        failures: 0,
        last_port: None,
        phase,
        then_start: false,
        inbox,
        publisher,
        workload_publisher,
        activity: activity.clone(),
        services: services.clone(),
    };
    services.tasks.spawn(driver.run().instrument(span));
    InstanceHandle { commands, snapshot, activity, workload }
}

struct Driver {
    name: InstanceName,
    spec: Arc<InstanceSpec>,
    /// Whether a server should run.
    wanted: bool,
    restarts: u32,
    /// How many starts failed or ended in a row.
    failures: u32,
    /// The port of the last server, taken again when it is free so that clients find it where it was.
    last_port: Option<u16>,
    phase: Phase,
    /// Whether the server that is being ended is replaced by a new one.
    then_start: bool,
    inbox: mpsc::Receiver<Command>,
    publisher: watch::Sender<InstanceSnapshot>,
    workload_publisher: watch::Sender<Option<Arc<dyn Workload>>>,
    activity: Arc<Activity>,
    services: Arc<Services>,
}

impl Driver {
    async fn run(mut self) {
        debug!(state = self.phase.state().name(), wanted = self.wanted, "its task begins");
        loop {
            let event = self.next_event().await;
            if matches!(event, DriverEvent::Detach) {
                break;
            }
            self.handle_event(event).await;
        }
        self.detach().await;
    }

    /// Waits for the next thing that happens. Cancel-safe: all progress is kept in `self.phase`.
    async fn next_event(&mut self) -> DriverEvent {
        let starting = matches!(self.phase, Phase::Starting { .. });
        tokio::select! {
            biased;
            Some(command) = self.inbox.recv() => DriverEvent::Command(command),
            event = self.phase.next_event() => event,
            // A launch under way is finished and recorded first, so that its process is never lost.
            () = self.services.shutdown.cancelled(), if !starting => DriverEvent::Detach,
        }
    }

    async fn handle_event(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Command(command) => self.handle_command(command).await,
            DriverEvent::Launched(Ok(launched)) => self.handle_launched(launched).await,
            DriverEvent::Launched(Err(problem)) => self.handle_failure(Failure::NotStarted(problem), None).await,
            DriverEvent::Exited(exit) => self.handle_exit(exit).await,
            DriverEvent::Probed(outcome) => self.handle_probe(outcome).await,
            DriverEvent::Stopped(result) => self.handle_stopped(result).await,
            DriverEvent::RestartDue => self.restart_now().await,
            DriverEvent::Detach => {}
        }
    }

    async fn handle_command(&mut self, command: Command) {
        match command {
            Command::Up { spec, accepted } => {
                let was_wanted = std::mem::replace(&mut self.wanted, true);
                match self.phase {
                    Phase::Starting { .. } | Phase::Loading(_) | Phase::Serving(_) => {
                        if !was_wanted {
                            self.persist().await;
                        }
                    }
                    Phase::Stopping { .. } => {
                        self.spec = spec;
                        self.then_start = true;
                    }
                    Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => {
                        self.spec = spec;
                        self.start_afresh().await;
                    }
                }
                // The asker may be gone; the instance comes up all the same.
                let _ = accepted.send(());
            }
            Command::Down { accepted } => {
                let answer = self.handle_down().await;
                let _ = accepted.send(answer);
            }
            Command::Restart { spec, accepted } => {
                self.wanted = true;
                self.spec = spec;
                match self.phase {
                    Phase::Starting { .. } | Phase::Loading(_) | Phase::Serving(_) => {
                        self.then_start = true;
                        self.begin_stop(Trouble::Requested).await;
                    }
                    Phase::Stopping { .. } => self.then_start = true,
                    Phase::Stopped { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => self.start_afresh().await,
                }
                let _ = accepted.send(());
            }
        }
    }

    async fn handle_down(&mut self) -> Result<(), Problem> {
        self.then_start = false;
        self.wanted = false;
        match &self.phase {
            Phase::Stopped { .. } => {
                let problem = Problem::new(ErrorCode::InstanceNotRunning, format!("`{}` is not running", self.name));
                return Err(problem.with_hint("run `orch ps` for what is running"));
            }
            Phase::Backoff { .. } | Phase::Failed { .. } => {
                self.enter(Phase::Stopped { last_exit: None }, "it was told to stop").await;
            }
            Phase::Starting { .. } | Phase::Loading(_) | Phase::Serving(_) => self.begin_stop(Trouble::Requested).await,
            Phase::Stopping { .. } => self.persist().await,
        }
        Ok(())
    }

    /// Starts on a person's word: earlier failures do not count.
    async fn start_afresh(&mut self) {
        self.failures = 0;
        self.restarts = 0;
        self.begin_start("it was told to start").await;
    }

    async fn restart_now(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
        self.begin_start("its server is started again").await;
    }

    async fn begin_start(&mut self, why: &str) {
        self.then_start = false;
        let launch = launch::launch(self.services.clone(), self.spec.clone(), self.last_port);
        self.enter(Phase::starting(launch), why).await;
    }

    async fn handle_launched(&mut self, launched: Launched) {
        self.last_port = Some(launched.server.address.port());
        let why = format!("{} listens on {}", launched.server.identity, launched.server.address);
        let adopted = Adopted { workload: launched.workload, server: launched.server };
        let stop_was_asked = matches!(self.phase, Phase::Starting { stop_asked: true, .. });
        let loading = Loading::begin(adopted, &self.spec, launched.stderr_offset);
        self.enter(Phase::Loading(loading), &why).await;
        if stop_was_asked {
            self.begin_stop(Trouble::Requested).await;
        }
    }

    async fn handle_probe(&mut self, outcome: ProbeOutcome) {
        match &mut self.phase {
            Phase::Loading(loading) => {
                if outcome == ProbeOutcome::Healthy {
                    self.handle_ready().await;
                    return;
                }
                if loading.deadline <= Instant::now() {
                    self.begin_stop(Trouble::NeverReady).await;
                    return;
                }
                let detail = match outcome {
                    ProbeOutcome::Loading { detail } => detail,
                    ProbeOutcome::Bad { reason } => reason,
                    ProbeOutcome::Healthy | ProbeOutcome::Refused => String::new(),
                };
                loading.is_doubted = false;
                loading.probe_again();
                if loading.detail != detail {
                    loading.detail = detail;
                    self.publish();
                }
            }
            Phase::Serving(serving) => {
                let was_unhealthy = serving.unhealthy.is_some();
                serving.note(outcome, self.spec.healthcheck.retries.get());
                serving.probe_again(self.spec.healthcheck.interval.get());
                let is_hopeless = serving.bad_answers >= self.spec.healthcheck.retries.get().saturating_mul(2);
                let reason = serving.unhealthy.as_ref().map(|unhealthy| unhealthy.reason.clone());
                if is_hopeless {
                    self.begin_stop(Trouble::Unresponsive).await;
                } else if was_unhealthy != reason.is_some() {
                    let why = reason.unwrap_or_else(|| "it answers again".to_owned());
                    self.announce(if was_unhealthy { "unhealthy" } else { "ready" }, &why);
                } else if self.is_idle_too_long() {
                    self.unload_idle().await;
                }
            }
            Phase::Stopped { .. } | Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => {}
        }
    }

    /// The loading server answered 200. It is believed only if the listener is its own.
    async fn handle_ready(&mut self) {
        let Phase::Loading(loading) = &mut self.phase else { return };
        if loading.workload.owns_listener(loading.server.address).await == Some(false) {
            if std::mem::replace(&mut loading.is_doubted, true) {
                self.begin_stop(Trouble::PortTaken).await;
            } else {
                // One that ends just after its answer does not listen any more either; its end is known in a moment.
                loading.probe_again();
            }
            return;
        }
        self.activity.touch();
        let serving = Serving::begin(loading, self.spec.healthcheck.interval.get());
        let took = loading.server.started_at.elapsed_millis();
        self.enter(Phase::Serving(serving), &format!("it answers after {took} ms")).await;
    }

    fn is_idle_too_long(&self) -> bool {
        self.spec.ttl.is_some_and(|ttl| self.activity.idle_for().is_some_and(|idle| idle >= ttl.get()))
    }

    async fn unload_idle(&mut self) {
        self.wanted = false;
        self.begin_stop(Trouble::Idle).await;
    }

    /// The server ended by itself.
    async fn handle_exit(&mut self, exit: WorkloadExit) {
        let (workload, offset, ready_for) = match &self.phase {
            Phase::Loading(loading) => (loading.workload.clone(), loading.stderr_offset, None),
            Phase::Serving(serving) => (serving.workload.clone(), serving.stderr_offset, Some(serving.since.elapsed())),
            Phase::Stopped { .. } | Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => {
                return;
            }
        };
        let report = self.explain(exit, offset).await;
        // What the leader started may still run: it goes before anything new is started.
        if let Err(error) = workload.stop(Duration::ZERO).await {
            warn!(%error, "leftovers of the server are still running");
        }
        self.handle_failure(Failure::Exited(report), ready_for).await;
    }

    async fn explain(&mut self, exit: WorkloadExit, stderr_offset: u64) -> ExitReport {
        let tail = last_words::read(self.services.stderr_log(&self.spec), stderr_offset).await;
        let known = self.services.runtimes.get(&self.spec.runtime).and_then(|runtime| runtime.explain_exit(&tail));
        let cause = match (known, exit) {
            (_, WorkloadExit::Status(0)) => ExitCause::Finished,
            (Some(cause), _) => cause,
            (None, WorkloadExit::Status(status)) => ExitCause::Status { status },
            (None, WorkloadExit::Signal(signal)) => ExitCause::Signal { signal, name: last_words::signal_name(signal) },
            (None, WorkloadExit::Unseen) => ExitCause::Unknown,
        };
        ExitReport { cause, stderr_tail: tail, at: Timestamp::now() }
    }

    async fn handle_failure(&mut self, failure: Failure, ready_for: Option<Duration>) {
        if matches!(self.phase, Phase::Starting { stop_asked: true, .. }) {
            let next = if self.then_start { None } else { Some(Phase::Stopped { last_exit: None }) };
            match next {
                Some(stopped) => self.enter(stopped, "it was told to stop").await,
                None => self.begin_start("it was told to start again").await,
            }
            return;
        }
        let history = RestartHistory { failures: self.failures, ready_for, port_is_configured: self.spec.server.port.is_some() };
        let why = failure.to_problem(self.name.as_str()).to_string();
        match decide(&self.spec.restart_policy, history, &failure, self.services.jitter()) {
            RestartDecision::Retry { after, attempt } => {
                self.failures = attempt;
                let due = Timestamp::now().after(after);
                self.enter(Phase::Backoff { until: Instant::now() + after, due, attempt, failure }, &why).await;
            }
            RestartDecision::GiveUp => self.enter(Phase::Failed { since: Timestamp::now(), failure }, &why).await,
        }
    }

    /// Begins to end the server, for a reason that decides what comes after.
    async fn begin_stop(&mut self, trouble: Trouble) {
        let grace = match trouble {
            Trouble::Unresponsive => Duration::from_secs(1),
            Trouble::Requested | Trouble::NeverReady | Trouble::PortTaken | Trouble::Idle => self.spec.stop.grace.get(),
        };
        let why = trouble.why();
        let (workload, server, stderr_offset) = match &mut self.phase {
            Phase::Starting { stop_asked, .. } => {
                *stop_asked = true;
                self.persist().await;
                return;
            }
            Phase::Loading(loading) => (loading.workload.clone(), loading.server.clone(), loading.stderr_offset),
            Phase::Serving(serving) => (serving.workload.clone(), serving.server.clone(), serving.stderr_offset),
            Phase::Stopped { .. } | Phase::Stopping { .. } | Phase::Backoff { .. } | Phase::Failed { .. } => return,
        };
        let ready_for = match &self.phase {
            Phase::Serving(serving) => Some(serving.since.elapsed()),
            _ => None,
        };
        self.enter(Phase::stopping(workload, server, trouble, grace, stderr_offset, ready_for), why).await;
    }

    async fn handle_stopped(&mut self, result: Result<WorkloadExit, LaunchError>) {
        let Phase::Stopping { trouble, ready_for, stderr_offset, .. } = &self.phase else { return };
        let (trouble, ready_for, stderr_offset) = (*trouble, *ready_for, *stderr_offset);
        if let Err(error) = result {
            let failure = Failure::NotStarted(Problem::from(error));
            let why = failure.to_problem(self.name.as_str()).to_string();
            self.enter(Phase::Failed { since: Timestamp::now(), failure }, &why).await;
            return;
        }
        if self.then_start {
            self.begin_start("it was told to start again").await;
            return;
        }
        let tail = last_words::read(self.services.stderr_log(&self.spec), stderr_offset).await;
        let report = ExitReport { cause: trouble.cause(), stderr_tail: tail, at: Timestamp::now() };
        if self.wanted {
            self.handle_failure(Failure::Exited(report), ready_for).await;
        } else {
            self.enter(Phase::Stopped { last_exit: Some(report) }, "nothing of it is left").await;
        }
    }

    /// Changes the phase, remembers what must be remembered, and tells everybody.
    async fn enter(&mut self, phase: Phase, why: &str) {
        let before = self.phase.state().name();
        self.phase = phase;
        self.workload_publisher.send_replace(self.phase.workload().cloned());
        self.persist().await;
        self.announce(before, why);
    }

    fn announce(&mut self, before: &str, why: &str) {
        let state = self.phase.state();
        let draft = EventDraft::new(EventKind::InstanceState, format!("`{}` is {}: {why}", self.name, state.name()))
            .about(&self.name)
            .with_data(serde_json::json!({ "from": before, "to": state.name(), "cause": why }));
        self.services.events.record(draft);
        self.publish();
    }

    fn publish(&mut self) {
        let (spec, state, restarts) = (self.spec.clone(), self.phase.state(), self.restarts);
        self.publisher.send_modify(|snapshot| {
            let generation = snapshot.generation + 1;
            *snapshot = InstanceSnapshot { spec, state, restarts, generation };
        });
    }

    async fn persist(&mut self) {
        let server = self.phase.state().server().cloned();
        let record = InstanceRecord {
            name: self.name.clone(),
            wanted: self.wanted,
            spec: Some((*self.spec).clone()),
            server,
            restarts: self.restarts,
        };
        if let Err(error) = self.services.store.put_instance(record).await {
            warn!(%error, "the state of the instance could not be stored; its processes carry our mark and will be found again");
        }
    }

    /// The owner of this home goes. The server stays, and is remembered.
    async fn detach(mut self) {
        if let Phase::Stopping { .. } = self.phase {
            // A stop under way is finished: half a stop would leave a server nobody asked for.
            let event = self.phase.next_event().await;
            self.handle_event(event).await;
        }
        self.persist().await;
    }
}

//! The task that owns one instance: it alone starts, watches and ends the instance's server.
//!
//! A loop of [`Driver::next_event`] and [`Driver::handle_event`]. What the task is waiting for lives in its
//! [`Phase`], futures included, so that losing a race in the `select!` loses nothing. Everybody else sends a
//! [`Command`] or reads the published [`InstanceSnapshot`].
//!
//! | file | what it holds |
//! | --- | --- |
//! | `phase` | what the task waits for |
//! | `launch` | the way from a configuration to a started program |
//! | `commands` | what people and requests ask |
//! | `health` | what a server's answers tell |
//! | `logs` | keeping a server's logs small |
//! | `ending` | how a server ends, and what comes after |
//! | `record` | what is remembered of it, and that it is |

mod commands;
mod ending;
mod health;
mod launch;
mod logs;
mod phase;
mod record;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument, debug, info_span};

use super::InstanceSpec;
use super::probe::ProbeOutcome;
use super::state::{ExitCause, ExitReport, Failure, InstanceSnapshot, RunningServer};
use crate::error::{ErrorCode, Problem};
use crate::event::{EventDraft, EventKind, Timestamp};
use crate::launcher::{LaunchError, Workload, WorkloadExit};
use crate::names::InstanceName;
use crate::orchestrator::Services;
use crate::scheduler::policy::{Eviction, MemberId, MemoryNeed};
use crate::store::InstanceRecord;
use launch::{LaunchOutcome, LaunchRequest, Launched};
use logs::LogKeeper;
use phase::{Loading, Phase, Trouble};
use record::Unrecorded;

/// How many commands may wait for an instance's task.
const COMMAND_QUEUE: usize = 32;
/// The first wait between two questions to a loading server; it grows up to [`LONGEST_LOADING_POLL`].
const FIRST_LOADING_POLL: Duration = Duration::from_millis(3);
/// By how much each wait is longer than the one before: whoever waits for a model waits at most a fourteenth longer
/// than it takes to load.
const LOADING_POLL_GROWTH: f32 = 1.07;
/// The longest wait between two questions to a loading server.
const LONGEST_LOADING_POLL: Duration = Duration::from_millis(250);

/// Who wants an instance to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A person, or a configuration.
    Person,
    /// Requests wait for it; when they are gone, it need not start.
    Requests,
}

/// What others ask of an instance's task. It answers once it has remembered what it was told; where it cannot, it does as
/// it was told all the same, and the answer is the failure.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run a server with this configuration. A server that runs already is left alone.
    Up { spec: Arc<InstanceSpec>, caller: Caller, accepted: oneshot::Sender<Result<(), Problem>> },
    /// Go on with this configuration, which differs only in what a running server need not know.
    Configure { spec: Arc<InstanceSpec> },
    /// End the server: its room is needed, or nobody needs it.
    Unload(Eviction),
    /// End the server, if there is one.
    Down { accepted: oneshot::Sender<Result<(), Problem>> },
    /// End the server, if there is one, and run one with this configuration.
    Restart { spec: Arc<InstanceSpec>, accepted: oneshot::Sender<Result<(), Problem>> },
}

/// What can happen to an instance's task.
enum DriverEvent {
    Command(Command),
    Launched(LaunchOutcome),
    Exited(WorkloadExit),
    Probed(ProbeOutcome),
    Stopped(Result<WorkloadExit, LaunchError>),
    RestartDue,
    /// What could not be remembered is tried again.
    RecordDue,
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
    Adopted {
        adopted: Adopted,
        held: MemoryNeed,
        wanted: bool,
        restarts: u32,
        /// What the store holds of it, where that is just this.
        stored: Option<Box<InstanceRecord>>,
    },
}

impl Beginning {
    const fn why(&self) -> &'static str {
        match self {
            Self::Stopped => "it has not been started yet",
            Self::Lost { .. } => "its server ended while nobody watched it",
            Self::Adopted { .. } => "its server was taken over from an earlier owner",
        }
    }
}

/// Others' end of an instance's task.
#[derive(Clone)]
pub(crate) struct InstanceHandle {
    commands: mpsc::Sender<Command>,
    pub(crate) snapshot: watch::Receiver<InstanceSnapshot>,
    /// Its number with the scheduler.
    pub(crate) member: MemberId,
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
    let cause = beginning.why().to_owned();
    let (phase, wanted, restarts, held, stored) = match beginning {
        Beginning::Stopped => (Phase::Stopped { last_exit: None }, false, 0, None, None),
        Beginning::Lost { restarts } => {
            let report = ExitReport { cause: ExitCause::Unknown, stderr_tail: Vec::new(), at: Timestamp::now() };
            let waiting = Phase::Backoff { until: Instant::now(), due: Timestamp::now(), attempt: 1, failure: Failure::Exited(report) };
            (waiting, true, restarts, None, None)
        }
        Beginning::Adopted { adopted, held, wanted, restarts, stored } => {
            let phase = Phase::Loading(Loading::taken_over(adopted, services, &spec));
            (phase, wanted, restarts, Some(held), stored.map(|stored| *stored))
        }
    };
    let workload = phase.workload().cloned();
    let member = services.scheduler.enrol(&spec, held);
    let (since, next_start) = (Timestamp::now(), phase.next_start());
    let snapshot = InstanceSnapshot { spec: spec.clone(), state: phase.state(), since, cause, restarts, next_start, generation: 0 };
    let (publisher, snapshot) = watch::channel(snapshot);
    let (workload_publisher, workload) = watch::channel(workload);
    let span = info_span!("task", instance = %spec.name);
    let driver = Driver {
        name: spec.name.clone(),
        spec,
        member,
        wanted,
        restarts,
        failures: 0,
        last_port: None,
        phase,
        then_start: false,
        stored,
        unrecorded: None,
        logs: LogKeeper::new(),
        inbox,
        publisher,
        workload_publisher,
        services: services.clone(),
    };
    services.tasks.spawn(driver.run().instrument(span));
    InstanceHandle { commands, snapshot, member, workload }
}

struct Driver {
    name: InstanceName,
    spec: Arc<InstanceSpec>,
    member: MemberId,
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
    /// What the store holds of it, where that is known.
    stored: Option<InstanceRecord>,
    /// Set while the store does not hold what is so.
    unrecorded: Option<Unrecorded>,
    logs: LogKeeper,
    inbox: mpsc::Receiver<Command>,
    publisher: watch::Sender<InstanceSnapshot>,
    workload_publisher: watch::Sender<Option<Arc<dyn Workload>>>,
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
        let starting = matches!(self.phase, Phase::Starting { .. }) && !self.phase.waits_for_room();
        let record_due = record::due(self.unrecorded.as_ref());
        tokio::select! {
            biased;
            Some(command) = self.inbox.recv() => DriverEvent::Command(command),
            event = self.phase.next_event() => event,
            () = record_due => DriverEvent::RecordDue,
            // A launch under way is finished and recorded first, so that its process is never lost.
            () = self.services.shutdown.cancelled(), if !starting => DriverEvent::Detach,
        }
    }

    async fn handle_event(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Command(command) => self.handle_command(command).await,
            DriverEvent::Launched(LaunchOutcome::Launched(launched)) => self.handle_launched(launched).await,
            DriverEvent::Launched(LaunchOutcome::Failed(problem)) => self.handle_failure(Failure::NotStarted(problem), None).await,
            DriverEvent::Launched(LaunchOutcome::CalledOff) => {
                self.wanted = self.then_start;
                self.end_before_start("nobody waits for it any more").await;
            }
            DriverEvent::Exited(exit) => self.handle_exit(exit).await,
            DriverEvent::Probed(outcome) => self.handle_probe(outcome).await,
            DriverEvent::Stopped(result) => self.handle_stopped(result).await,
            DriverEvent::RestartDue => self.restart_now(),
            DriverEvent::RecordDue => self.persist().await,
            DriverEvent::Detach => {}
        }
    }

    /// Starts a server again by ourselves. Nobody waits for an acknowledgement, so nothing is written before: the note
    /// of the new server says it all, and until then its marks do.
    fn restart_now(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
        let starting = self.prepare_start();
        self.show(starting, "its server is started again");
    }

    async fn begin_start(&mut self, why: &str) {
        let starting = self.prepare_start();
        self.enter(starting, why).await;
    }

    fn prepare_start(&mut self) -> Phase {
        self.then_start = false;
        self.services.scheduler.configure_member(self.member, &self.spec);
        let (spec, logs) = (self.spec.clone(), self.logs.clone());
        let request = LaunchRequest { member: self.member, spec, logs, last_port: self.last_port };
        Phase::starting(launch::launch(self.services.clone(), request))
    }

    async fn handle_launched(&mut self, launched: Launched) {
        self.last_port = Some(launched.server.address.port());
        let why = format!("{} listens on {}", launched.server.identity, launched.server.address);
        let stop_was_asked = matches!(self.phase, Phase::Starting { stop_asked: true, .. });
        let loading = Loading::started(launched, &self.services, &self.spec);
        self.enter(Phase::Loading(loading), &why).await;
        if stop_was_asked {
            self.begin_stop(Trouble::Requested).await;
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

    /// Changes the phase and tells everybody; what must be remembered is written later.
    fn show(&mut self, phase: Phase, why: &str) {
        let before = self.phase.state().name();
        self.phase = phase;
        self.workload_publisher.send_replace(self.phase.workload().cloned());
        self.announce(before, why);
    }

    /// Changes the phase, as its server is gone, and tells everybody but the scheduler that its room is free: that is to
    /// be said when what it left is gone too.
    fn show_loss(&mut self, phase: Phase, why: &str) {
        let before = self.phase.state().name();
        self.phase = phase;
        self.workload_publisher.send_replace(None);
        self.tell(before, why);
        self.services.scheduler.observe_leaving(self.member);
    }

    fn announce(&mut self, before: &str, why: &str) {
        self.tell(before, why);
        self.show_scheduler();
    }

    /// Tells everybody but the scheduler of the present state and why it came.
    fn tell(&mut self, before: &str, why: &str) {
        let state = self.phase.state();
        let mut data = serde_json::json!({ "from": before, "to": state.name(), "cause": why });
        if let Some(failure) = state.failure() {
            data["failure"] = failure.kind().into();
        }
        if let Some(server) = state.server() {
            data["address"] = server.address.to_string().into();
        }
        let draft = EventDraft::new(EventKind::InstanceState, format!("`{}` {}: {why}", self.name, state.phrase()));
        self.services.events.record(draft.about(&self.name).with_data(data));
        let (since, cause, next_start) = (Timestamp::now(), why.to_owned(), self.phase.next_start());
        self.publisher.send_modify(|snapshot| {
            *snapshot = InstanceSnapshot {
                spec: self.spec.clone(),
                state,
                since,
                cause,
                restarts: self.restarts,
                next_start,
                generation: snapshot.generation + 1,
            };
        });
    }

    /// Tells everybody what changed within the present state.
    fn publish(&mut self) {
        let (spec, state, restarts, next_start) = (self.spec.clone(), self.phase.state(), self.restarts, self.phase.next_start());
        self.publisher.send_modify(|snapshot| {
            let (since, cause, generation) = (snapshot.since, std::mem::take(&mut snapshot.cause), snapshot.generation + 1);
            *snapshot = InstanceSnapshot { spec, state, since, cause, restarts, next_start, generation };
        });
        self.show_scheduler();
    }

    /// Shows the scheduler the present state. After the snapshot: who is let in now must see the server in it.
    fn show_scheduler(&self) {
        self.services.scheduler.observe(self.member, &self.publisher.borrow().state);
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

//! `orch serve`: the daemon in the foreground, or, when another command starts it, detached from its terminal.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator_core::config::{DaemonConfig, load_daemon_config};
use orchestrator_core::orchestrator::{OwnerLock, ShutdownMode};
use orchestrator_core::{ErrorCode, Orchestrator, Paths, Problem};
use orchestrator_server::{Daemon, DaemonEnd, DaemonOptions, Inheritance, Succession, take_over};
use owo_colors::OwoColorize as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::daemon::ServeArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::logging::{self, Speaker};
use crate::provider_settings;

/// How long the lock of a daemon that was killed may stay.
const TAKEN_APART: Duration = Duration::from_secs(2);
/// How often is looked whether it is gone.
const POLL: Duration = Duration::from_millis(10);

/// Serves the home until a signal comes or a client asks for the end.
pub(crate) async fn run(context: &Context, arguments: &ServeArguments) -> Result<(), CommandError> {
    let paths = context.paths()?;
    if arguments.background {
        detach()?;
    }
    // From here on a signal ends the daemon in order, at whatever instant it comes.
    let mut signals = Signals::listen()?;
    let config = load_daemon_config(&paths.config_file())?;
    logging::start(&context.globals, Speaker::Daemon, config.log.format);
    let inheritance = if arguments.take_over {
        tokio::select! {
            taken = take_over(paths) => taken?,
            () = signals.next() => return Ok(()),
        }
    } else {
        None
    };
    let (lock, estate) = inheritance.map(|Inheritance { lock, estate }| (lock, estate)).unzip();
    let reopen = opener(paths.clone(), config);
    let opening = async {
        match lock {
            Some(lock) => reopen(Some(lock)).await,
            None if arguments.take_over => open_after_an_end(&reopen).await,
            None => reopen(None).await,
        }
    };
    let orchestrator = tokio::select! {
        opened = opening => opened?,
        () = signals.next() => return Ok(()),
    };
    let succession = Succession { estate, reopen: Some(Arc::new(move |lock| reopen(Some(lock)))) };
    let daemon = match Daemon::succeed(orchestrator.clone(), DaemonOptions::default(), succession).await {
        Ok(daemon) => daemon,
        Err(error) => {
            orchestrator.shutdown(ShutdownMode::LeaveRunning).await;
            return Err(Problem::from(error).into());
        }
    };
    // What is opened anew after a failed hand-over is another one.
    drop(orchestrator);
    announce(context, &daemon, arguments.background)?;
    let mode = tokio::select! {
        end = daemon.wait_end() => match end {
            DaemonEnd::Asked(request) if request.stop_instances => ShutdownMode::StopAll,
            DaemonEnd::Asked(_) => ShutdownMode::LeaveRunning,
            DaemonEnd::Replaced { pid } => return drain(context, daemon, signals, pid).await,
            DaemonEnd::Closed(problem) => {
                daemon.drain().await;
                return Err(problem.into());
            }
        },
        () = signals.next() => ShutdownMode::LeaveRunning,
    };
    match mode {
        ShutdownMode::StopAll => tracing::info!("the daemon goes down and stops all instances"),
        ShutdownMode::LeaveRunning => tracing::info!("the daemon goes down; servers go on running"),
    }
    tokio::select! {
        problems = daemon.shutdown(mode) => CommandError::from_all(problems),
        () = signals.next() => {
            let problem = Problem::new(ErrorCode::DaemonStopping, "a second signal ended the daemon at once");
            Err(problem.with_hint("nothing is lost: servers that run are taken over by the next daemon").into())
        }
    }
}

/// A home that is being opened.
type Opening = Pin<Box<dyn Future<Output = Result<Orchestrator, Problem>> + Send>>;

/// Returns how the home is opened, the first time and after a hand-over that failed.
fn opener(paths: Paths, config: DaemonConfig) -> impl Fn(Option<OwnerLock>) -> Opening + Send + Sync {
    let settings = provider_settings::from_environment().with_config(&config);
    move |lock| {
        let builder = orchestrator_providers::builder(paths.clone(), &settings).config(config.clone());
        let builder = match lock {
            Some(lock) => builder.lock(lock),
            None => builder,
        };
        Box::pin(builder.open())
    }
}

/// Opens a home whose daemon was killed a moment ago: the system may still be taking it apart.
async fn open_after_an_end(open: &impl Fn(Option<OwnerLock>) -> Opening) -> Result<Orchestrator, Problem> {
    let deadline = Instant::now() + TAKEN_APART;
    loop {
        match open(None).await {
            Err(problem) if problem.code == ErrorCode::HomeOwned && Instant::now() < deadline => tokio::time::sleep(POLL).await,
            outcome => return outcome,
        }
    }
}

/// Answers what had begun before another daemon took our place, unless a signal comes.
async fn drain(context: &Context, daemon: Daemon, mut signals: Signals, successor: i32) -> Result<(), CommandError> {
    context.output.note(&format!("Process {successor} took our place; this one ends with the last request that had begun with it."));
    tokio::select! {
        () = daemon.drain() => tracing::info!("everything that had begun here has ended"),
        () = signals.next() => tracing::warn!("a signal ended what had begun here"),
    }
    Ok(())
}

fn announce(context: &Context, daemon: &Daemon, background: bool) -> Result<(), CommandError> {
    // Whoever started it asks its socket, and the log says the same in its own words.
    if background {
        return Ok(());
    }
    if context.output.is_json() {
        let socket = context.paths()?.socket();
        return context
            .output
            .json_line(&serde_json::json!({ "endpoint": daemon.endpoint(), "pid": std::process::id(), "socket": socket }));
    }
    context.output.line(&format!("Serving at {}", daemon.endpoint().bold()))?;
    context.output.note("Ctrl-C ends the daemon; servers go on running, and the next daemon takes them over.");
    Ok(())
}

/// Leaves the terminal and the folder it was started in.
fn detach() -> Result<(), Problem> {
    let failed = |what: &str, cause: String| Problem::new(ErrorCode::DaemonStartFailed, what.to_owned()).with_cause(cause);
    // Whoever leads a group already cannot leave its session; then it was detached by whoever started it.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "no session of our own");
    }
    std::env::set_current_dir("/").map_err(|error| failed("could not leave the current directory", error.to_string()))
}

/// The signals that end the daemon.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Problem> {
        let listen = |kind| {
            signal(kind).map_err(|error| Problem::new(ErrorCode::Internal, "could not listen for signals").with_cause(error.to_string()))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

//! `orch serve`: the daemon in the foreground, or, when another command starts it, detached from its terminal.

use orchestrator_core::config::load_daemon_config;
use orchestrator_core::orchestrator::ShutdownMode;
use orchestrator_core::{ErrorCode, Problem};
use orchestrator_server::{Daemon, DaemonOptions};
use owo_colors::OwoColorize as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::daemon::ServeArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::logging::{self, Speaker};
use crate::provider_settings;

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
    let opening = orchestrator_providers::builder(paths.clone(), &provider_settings::from_environment()).config(config).open();
    let orchestrator = tokio::select! {
        opened = opening => opened?,
        () = signals.next() => return Ok(()),
    };
    let daemon = match Daemon::start(orchestrator.clone(), DaemonOptions::default()).await {
        Ok(daemon) => daemon,
        Err(error) => {
            orchestrator.shutdown(ShutdownMode::LeaveRunning).await;
            return Err(Problem::from(error).into());
        }
    };
    announce(context, &daemon, arguments.background)?;
    let mode = tokio::select! {
        request = daemon.wait_shutdown_requested() => if request.stop_instances { ShutdownMode::StopAll } else { ShutdownMode::LeaveRunning },
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

//! The command probe: a program of the person's own decides whether a server is well.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::ProbeOutcome;
use crate::instance::InstanceSpec;
use crate::orchestrator::Services;
use crate::process::command::{CommandEnd, CommandOrder, CommandReport};

/// The variable that tells the command where its server listens. `ORCH_HOST` means a daemon.
const HOST_VARIABLE: &str = "ORCH_SERVER_HOST";
/// The variable that tells the command at which port.
const PORT_VARIABLE: &str = "ORCH_SERVER_PORT";

/// Asks a program.
#[derive(Debug)]
pub(in crate::instance) struct CommandProbe {
    order: Arc<CommandOrder>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// Whether what an earlier owner's commands left was ended.
    begun: OnceCell<()>,
}

impl CommandProbe {
    pub(super) fn new(services: &Arc<Services>, spec: &InstanceSpec, address: SocketAddr) -> Self {
        let mut words = spec.healthcheck.command.iter();
        let program = PathBuf::from(words.next().cloned().unwrap_or_default());
        let mut variables = spec.env.clone();
        variables.insert(HOST_VARIABLE.to_owned(), address.ip().to_string());
        variables.insert(PORT_VARIABLE.to_owned(), address.port().to_string());
        let order = CommandOrder {
            // Not the server's own mark: the command is no part of the server.
            owner_tag: format!("{}#probe", services.paths.owner_tag()).into(),
            instance: spec.name.clone(),
            program,
            arguments: words.cloned().collect(),
            variables,
        };
        Self { order: Arc::new(order), tasks: services.tasks.clone(), shutdown: services.shutdown.clone(), begun: OnceCell::new() }
    }

    /// Runs the command, and ends it with everything it started after `timeout`, or when nobody waits any more.
    pub(super) async fn ask(&self, timeout: Duration) -> ProbeOutcome {
        self.begun.get_or_init(|| self.order.end_leftovers()).await;
        let given_up = self.shutdown.child_token();
        let _gives_up = given_up.clone().drop_guard();
        let order = self.order.clone();
        let run = async move { order.run(timeout, given_up.cancelled()).await };
        // A task of its own: dropped halfway, it would leave processes behind.
        match self.tasks.spawn(run.in_current_span()).await {
            Ok(Ok(report)) => judge(&self.order, &report, timeout),
            Ok(Err(error)) => ProbeOutcome::Bad { reason: format!("could not run `{}`: {error}", self.order.program.display()) },
            Err(error) => ProbeOutcome::Bad { reason: format!("running `{}` failed: {error}", self.order.program.display()) },
        }
    }
}

fn judge(order: &CommandOrder, report: &CommandReport, timeout: Duration) -> ProbeOutcome {
    let what = match report.end {
        CommandEnd::Exited(0) => return ProbeOutcome::Healthy,
        CommandEnd::Exited(status) => format!("exited with status {status}"),
        CommandEnd::Killed(signal) => format!("was ended by {}", crate::instance::last_words::signal_name(signal)),
        CommandEnd::TimedOut => format!("did not end within {} s", timeout.as_secs_f32()),
        CommandEnd::GivenUp => "was given up".to_owned(),
    };
    let said = if report.last_line.is_empty() { String::new() } else { format!(": {}", report.last_line) };
    ProbeOutcome::Bad { reason: format!("`{}` {what}{said}", order.program.display()) }
}

//! Who does the work: this process, because it owns the home, or the daemon that does. The methods are the same
//! either way, and so is what they return.

mod models;
mod operations;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use orchestrator_core::config::load_daemon_config;
use orchestrator_core::env::EnvironmentStatus;
use orchestrator_core::error::Coded;
use orchestrator_core::event::Event;
use orchestrator_core::hardware::Hardware;
use orchestrator_core::instance::logs::{LogLine, LogStream};
use orchestrator_core::instance::{InstanceState, InstanceSummary};
use orchestrator_core::operation::Operation;
use orchestrator_core::orchestrator::{InstanceDescription, InstanceList, Orchestrator, ShutdownMode};
use orchestrator_core::{EnvKey, ErrorCode, InstanceName, Paths, Problem};
use orchestrator_server::{Client, ClientError};

use crate::closable::Items;
use crate::home;

pub(crate) use operations::outcome;

/// How long a daemon that holds the lock may take to open its socket.
const SOCKET_WAIT: Duration = Duration::from_secs(2);
const SOCKET_POLL: Duration = Duration::from_millis(25);

/// Who does the work. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Backend {
    /// This process owns the home.
    Embedded(Orchestrator),
    /// A daemon does it.
    Connected(Client),
}

/// Whether a call waits until an instance is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It returns when the work has begun.
    No,
    /// It returns when the instance is ready, and fails when its start does.
    UntilReady,
}

/// What happens to the servers when the work ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Servers {
    /// They go on.
    Leave,
    /// They are ended.
    Stop,
}

impl Backend {
    /// Takes the home, or connects to the daemon that owns it.
    pub(crate) async fn open(paths: Paths) -> Result<Self, Problem> {
        let config = load_daemon_config(&paths.config_file())?;
        let socket = paths.socket();
        let builder = orchestrator_providers::builder(paths, &home::provider_settings().with_config(&config)).config(config);
        let owned = match builder.open().await {
            Ok(orchestrator) => return Ok(Self::Embedded(orchestrator)),
            Err(problem) if problem.code == ErrorCode::HomeOwned => problem,
            Err(problem) => return Err(problem),
        };
        let client = Client::unix(socket);
        // A daemon takes the lock before it opens its socket.
        let answers = async {
            while client.health().await.is_err_and(|error| error.is_unreachable()) {
                tokio::time::sleep(SOCKET_POLL).await;
            }
        };
        if tokio::time::timeout(SOCKET_WAIT, answers).await.is_ok() {
            return Ok(Self::Connected(client));
        }
        Err(owned.with_cause("it does not serve others: no daemon answers on the socket of the home").with_hint(
            "close the `Orchestrator` of the other program, or let a daemon own the home (`orch daemon start`) and use it from both; or choose another `home`",
        ))
    }

    /// Connects to a daemon at an address.
    pub(crate) async fn connect(url: &str, api_key: Option<&str>) -> Result<Self, Problem> {
        let client = Client::http(url, api_key)?;
        told(client.status().await)?;
        Ok(Self::Connected(client))
    }

    /// Starts an instance.
    pub(crate) async fn up(&self, name: &InstanceName, wait: Wait) -> Result<InstanceSummary, Problem> {
        match (self, wait) {
            (Self::Embedded(orchestrator), wait) => {
                orchestrator.up(name).await?;
                begun(orchestrator, name, wait).await
            }
            (Self::Connected(client), Wait::No) => told(client.up(name).await),
            (Self::Connected(client), Wait::UntilReady) => told(client.up_and_wait(name).await),
        }
    }

    /// Stops an instance and starts it with its present configuration.
    pub(crate) async fn restart(&self, name: &InstanceName, wait: Wait) -> Result<InstanceSummary, Problem> {
        match (self, wait) {
            (Self::Embedded(orchestrator), wait) => {
                orchestrator.restart(name).await?;
                begun(orchestrator, name, wait).await
            }
            (Self::Connected(client), Wait::No) => told(client.restart(name).await),
            (Self::Connected(client), Wait::UntilReady) => told(client.restart_and_wait(name).await),
        }
    }

    /// Stops an instance.
    pub(crate) async fn down(&self, name: &InstanceName) -> Result<InstanceSummary, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.down(name).await,
            Self::Connected(client) => told(client.down(name).await),
        }
    }

    /// Lists the instances, and the configurations that cannot be used.
    pub(crate) async fn instances(&self) -> Result<InstanceList, Problem> {
        match self {
            Self::Embedded(orchestrator) => Ok(orchestrator.instances().await),
            Self::Connected(client) => told(client.instances().await),
        }
    }

    /// Returns everything about one instance.
    pub(crate) async fn describe(&self, name: &InstanceName) -> Result<InstanceDescription, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.describe(name).await,
            Self::Connected(client) => told(client.describe(name).await),
        }
    }

    /// Returns the last lines of an instance's logs.
    pub(crate) async fn logs(&self, name: &InstanceName, stream: LogStream, tail: usize) -> Result<Vec<LogLine>, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.read_log(name, stream, tail).await,
            Self::Connected(client) => told(client.logs(name, stream, tail).await),
        }
    }

    /// Returns the last lines of an instance's logs, and then new ones as they come.
    pub(crate) async fn follow_logs(&self, name: &InstanceName, stream: LogStream, tail: usize) -> Result<Items<LogLine>, Problem> {
        match self {
            Self::Embedded(orchestrator) => Ok(Box::pin(orchestrator.follow_log(name, stream, tail)?.map(Ok))),
            Self::Connected(client) => Ok(Box::pin(told(client.follow_logs(name, stream, tail).await)?.map_err(ClientError::into_problem))),
        }
    }

    /// Returns events, oldest first: those after a number, or the last ones.
    pub(crate) async fn events(&self, after: Option<u64>, limit: usize) -> Result<Vec<Event>, Problem> {
        match (self, after) {
            (Self::Embedded(orchestrator), Some(after)) => orchestrator.events_after(after, limit).await,
            (Self::Embedded(orchestrator), None) => orchestrator.last_events(limit).await,
            (Self::Connected(client), Some(after)) => told(client.events(after, limit).await),
            (Self::Connected(client), None) => told(client.last_events(limit).await),
        }
    }

    /// Returns what the machine has.
    pub(crate) async fn hardware(&self) -> Result<Hardware, Problem> {
        match self {
            Self::Embedded(orchestrator) => Ok(orchestrator.hardware().await),
            Self::Connected(client) => told(client.hardware().await),
        }
    }

    /// Lists the environments that are installed or could be.
    pub(crate) async fn environments(&self) -> Result<Vec<EnvironmentStatus>, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.environments().await,
            Self::Connected(client) => told(client.environments().await),
        }
    }

    /// Begins to build an environment, or joins whoever builds it already.
    pub(crate) async fn create_environment(&self, key: &EnvKey) -> Result<Operation, Problem> {
        match self {
            Self::Embedded(orchestrator) => orchestrator.create_environment(key).await,
            Self::Connected(client) => told(client.create_environment(key).await),
        }
    }

    /// Ends the work. Returns what went wrong on the way.
    pub(crate) async fn close(&self, servers: Servers) -> Vec<Problem> {
        match (self, servers) {
            (Self::Embedded(orchestrator), Servers::Leave) => orchestrator.shutdown(ShutdownMode::LeaveRunning).await,
            (Self::Embedded(orchestrator), Servers::Stop) => orchestrator.shutdown(ShutdownMode::StopAll).await,
            (Self::Connected(_), Servers::Leave) => Vec::new(),
            (Self::Connected(client), Servers::Stop) => stop_all(client).await,
        }
    }
}

async fn begun(orchestrator: &Orchestrator, name: &InstanceName, wait: Wait) -> Result<InstanceSummary, Problem> {
    match wait {
        Wait::No => Ok(orchestrator.describe(name).await?.summary),
        Wait::UntilReady => orchestrator.wait_ready(name).await,
    }
}

/// Ends every server of a daemon, all at once.
async fn stop_all(client: &Client) -> Vec<Problem> {
    let list = match client.instances().await {
        Ok(list) => list,
        Err(error) => return vec![error.into_problem()],
    };
    let at_rest = InstanceState::Stopped { last_exit: None };
    let running = list.instances.into_iter().filter(|row| row.state != at_rest.name());
    let client = Arc::new(client.clone());
    let stops = running.map(|row| {
        let client = Arc::clone(&client);
        async move { client.down(&row.name).await }
    });
    let results = futures_util::future::join_all(stops).await;
    results
        .into_iter()
        .filter_map(Result::err)
        .filter(|error| error.code() != ErrorCode::InstanceNotRunning)
        .map(ClientError::into_problem)
        .collect()
}

/// Hands on a daemon's own problem as it is, with the last words of the engine in it.
pub(crate) fn told<T>(answer: Result<T, ClientError>) -> Result<T, Problem> {
    answer.map_err(ClientError::into_problem)
}

//! What every command works with: the options, where to print, and the way to the daemon.

use orchestrator_core::Paths;
use orchestrator_server::Client;

use crate::args::Globals;
use crate::daemon_process::{self, Started};
use crate::env_vars;
use crate::error::CommandError;
use crate::home::{self, Home};
use crate::output::Output;

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The options that hold for every command.
    pub(crate) globals: Globals,
    /// Where to print.
    pub(crate) output: Output,
    target: Target,
}

/// Whose daemon the command talks to.
#[derive(Debug)]
enum Target {
    Local(Home),
    Remote(Client),
}

impl Context {
    /// Finds the home or the other daemon. Touches neither.
    pub(crate) fn open(globals: Globals, output: Output) -> Result<Self, CommandError> {
        let target = match home::remote_host(&globals)? {
            Some(url) => {
                let key = env_vars::API_KEY.read().map(|key| key.to_string_lossy().into_owned());
                Target::Remote(Client::http(&url, key.as_deref())?)
            }
            None => Target::Local(Home::find(&globals)?),
        };
        Ok(Self { globals, output, target })
    }

    /// Returns the home, or refuses: the command cannot be done elsewhere.
    pub(crate) fn home(&self) -> Result<&Home, CommandError> {
        match &self.target {
            Target::Local(home) => Ok(home),
            Target::Remote(_) => Err(CommandError::usage(
                "this works on the files of this machine only, and a daemon elsewhere is asked for",
                format!("leave out `--host`, and unset `{}`", env_vars::HOST.name),
            )),
        }
    }

    /// Returns where the files of the home lie, or refuses as [`Self::home`] does.
    pub(crate) fn paths(&self) -> Result<&Paths, CommandError> {
        self.home().map(|home| &home.paths)
    }

    /// Returns the way to the daemon, which is started quietly when there is none.
    pub(crate) async fn client(&self) -> Result<Client, CommandError> {
        self.started_client().await.map(|started| started.client)
    }

    /// Returns the way to the daemon, and whether this call started it.
    pub(crate) async fn started_client(&self) -> Result<Started, CommandError> {
        match &self.target {
            Target::Local(home) => daemon_process::ensure_running(home, self.globals.verbose).await,
            Target::Remote(client) => Ok(Started { client: client.clone(), by_us: false }),
        }
    }

    /// Returns the way to where the daemon is or would be. Starts nothing.
    #[must_use]
    pub(crate) fn passive_client(&self) -> Client {
        match &self.target {
            Target::Local(home) => Client::unix(home.paths.socket()),
            Target::Remote(client) => client.clone(),
        }
    }
}

//! What may be typed after `serve`, `daemon`, `doctor` and `completions`.

use clap::{Args, Subcommand};

/// What may follow `orch serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch serve
  orch serve --home /srv/orchestrator -v

Ctrl-C ends the daemon and leaves the servers running: the
next daemon takes them over. A second one ends it at once.
Other commands start a daemon themselves when there is none.")]
pub(crate) struct ServeArguments {
    /// Detaches from the terminal: how other commands start it
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// Takes the place of the daemon that runs, without a gap
    #[arg(long, hide = true)]
    pub(crate) take_over: bool,
}

/// What may follow `orch daemon`.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Starts the daemon in the background
    #[command(after_help = "\
Examples:
  orch daemon start
  orch daemon start --json | jq -r .endpoint

Does nothing but tell the endpoint if the daemon is running.")]
    Start,
    /// Stops the daemon
    Stop(StopArguments),
    /// Replaces the daemon by this program, without a gap
    #[command(after_help = "\
Examples:
  orch daemon restart
  orch daemon restart && orch daemon status

The way to upgrade, and to take over a changed config.yaml.
Servers go on running, no request is refused, and no stream
is cut: the old daemon ends when what had begun with it has.
If the new one does not come up, the old one goes on.")]
    Restart,
    /// Tells whether the daemon runs, and where
    #[command(after_help = "\
Examples:
  orch daemon status
  orch daemon status --json | jq .uptime_seconds

Exits with 60 if the daemon is not running.")]
    Status,
}

/// What may follow `orch daemon stop`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch daemon stop
  orch daemon stop --all

Without --all the servers go on running, and the next daemon
takes them over.")]
pub(crate) struct StopArguments {
    /// Stops the instances too, and leaves no process
    #[arg(long)]
    pub(crate) all: bool,
}

/// What may follow `orch doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch doctor
  orch doctor --json | jq '.checks[] | select(.result==\"fail\")'

Starts nothing and changes nothing. Exits with 0 unless a
check fails; a warning is no failure.")]
pub(crate) struct DoctorArguments {}

/// What may follow `orch completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orch completions bash > ~/.bash_completion.d/orch
  orch completions zsh > ~/.zfunc/_orch
  orch completions fish > ~/.config/fish/completions/orch.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

//! The commands, one file each. Here stands only which file does what, and how Ctrl-C is met.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod generate_docs;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod model;
pub(crate) mod ps;
pub(crate) mod quickstart;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod selection;
pub(crate) mod serve;
pub(crate) mod tools;
pub(crate) mod up;

use crate::args::Command;
use crate::args::config::ConfigCommand;
use crate::args::daemon::DaemonCommand;
use crate::args::env::EnvCommand;
use crate::args::model::ModelCommand;
use crate::args::tools::ToolsCommand;
use crate::context::Context;
use crate::error::CommandError;
use crate::interrupt::unless_interrupted;

/// How a command meets Ctrl-C.
enum Interruption {
    /// It tidies up itself.
    Handled,
    /// It is dropped, and the reader is told this.
    Dropped(Option<String>),
}

/// Does what the command line asks for.
pub(crate) async fn run(context: &Context, command: Command) -> Result<(), CommandError> {
    match interruption(&command) {
        Interruption::Handled => Box::pin(dispatch(context, command)).await,
        Interruption::Dropped(note) => unless_interrupted(note, Box::pin(dispatch(context, command))).await,
    }
}

fn interruption(command: &Command) -> Interruption {
    match command {
        Command::Serve(_) | Command::Quickstart(_) | Command::Env(EnvCommand::Create(_)) | Command::Run(_) | Command::Up(_) => {
            Interruption::Handled
        }
        Command::Model(
            ModelCommand::Pull(_) | ModelCommand::Rm(_) | ModelCommand::Import(_) | ModelCommand::Activate(_) | ModelCommand::Smoke(_),
        ) => Interruption::Handled,
        Command::Restart(arguments) => Interruption::Dropped(Some(up::interruption_note(&arguments.selection))),
        _ => Interruption::Dropped(None),
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Quickstart(arguments) => quickstart::run(context, &arguments).await,
        Command::Init(arguments) => init::run(context, &arguments),
        Command::Up(arguments) => up::run(context, &arguments).await,
        Command::Down(arguments) => down::run(context, &arguments).await,
        Command::Restart(arguments) => restart::run(context, &arguments).await,
        Command::Rm(arguments) => rm::run(context, &arguments).await,
        Command::Ps(_) => ps::run(context).await,
        Command::Describe(arguments) => describe::run(context, &arguments).await,
        Command::Health(arguments) => health::run(context, &arguments).await,
        Command::Logs(arguments) => logs::run(context, &arguments).await,
        Command::Events(arguments) => events::run(context, &arguments).await,
        Command::Run(arguments) => run::run(context, &arguments).await,
        Command::Serve(arguments) => serve::run(context, &arguments).await,
        Command::Daemon(DaemonCommand::Start) => daemon::start::run(context).await,
        Command::Daemon(DaemonCommand::Restart) => daemon::restart::run(context).await,
        Command::Daemon(DaemonCommand::Stop(arguments)) => daemon::stop::run(context, &arguments).await,
        Command::Daemon(DaemonCommand::Status) => daemon::status::run(context).await,
        Command::Config(ConfigCommand::Validate(arguments)) => config::validate::run(context, &arguments),
        Command::Config(ConfigCommand::Lint) => config::lint::run(context),
        Command::Config(ConfigCommand::Schema(arguments)) => config::schema::run(context, &arguments),
        Command::Model(ModelCommand::Search(arguments)) => model::search::run(context, &arguments).await,
        Command::Model(ModelCommand::Pull(arguments)) => model::pull::run(context, &arguments).await,
        Command::Model(ModelCommand::Rm(arguments)) => model::rm::run(context, &arguments).await,
        Command::Model(ModelCommand::Import(arguments)) => model::import::run(context, &arguments).await,
        Command::Model(ModelCommand::Prune(arguments)) => model::prune::run(context, &arguments).await,
        Command::Model(ModelCommand::Fit(arguments)) => model::fit::run(context, &arguments).await,
        Command::Model(ModelCommand::Smoke(arguments)) => model::smoke::run(context, &arguments).await,
        Command::Model(ModelCommand::Ls) => model::ls::run(context).await,
        Command::Model(ModelCommand::Info(arguments)) => model::info::run(context, &arguments).await,
        Command::Model(ModelCommand::Activate(arguments)) => model::activate::run(context, &arguments).await,
        Command::Tools(ToolsCommand::Parse(arguments)) => tools::parse::run(context, &arguments),
        Command::Tools(ToolsCommand::Smoke(arguments)) => tools::smoke::run(context, &arguments).await,
        Command::Env(EnvCommand::Ls) => env::ls::run(context).await,
        Command::Env(EnvCommand::Create(arguments)) => env::create::run(context, &arguments).await,
        Command::Env(EnvCommand::Test(arguments)) => env::test::run(context, &arguments).await,
        Command::Env(EnvCommand::Rm(arguments)) => env::rm::run(context, &arguments).await,
        Command::Doctor(_) => doctor::run(context).await,
        Command::Completions(arguments) => completions::run(context, &arguments),
        Command::GenerateDocs(arguments) => generate_docs::run(context, &arguments),
    }
}

//! A program with the library inside: it owns a home, brings a model up, asks it something, and ends.
//!
//! ```text
//! cargo run -p orchestrator-examples --bin embed -- HOME [NAME] [PROMPT]
//! ```
//! Where the home has no instance NAME, the example configures one with a demo model (random weights: its words are
//! noise). An engine must be there: `llama-server` on the search path, or the environment that
//! `orch --home HOME env create llama-cpp-cpu` builds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures_util::StreamExt;
use orchestrator_core::config::load_daemon_config;
use orchestrator_core::config::template::{InitOptions, init_instance};
use orchestrator_core::error::{ErrorCode, Problem};
use orchestrator_core::model::ModelReference;
use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use orchestrator_core::orchestrator::ShutdownMode;
use orchestrator_core::{InstanceName, Orchestrator, Paths};
use orchestrator_providers::ProviderSettings;
use orchestrator_server::Client;
use serde_json::json;

const USAGE: &str = "\
usage: embed HOME [NAME] [PROMPT]

Owns the home in the folder HOME, brings its instance NAME (`demo`) up, asks it PROMPT, and ends. Where there is no such
instance, one with a demo model is configured: its words are noise.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Usage,
    Run { home: PathBuf, name: String, prompt: String },
}

impl Wish {
    /// Reads the arguments; `None` when they make no sense.
    fn read(arguments: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut arguments = arguments.into_iter();
        let home = arguments.next()?;
        if home == "--help" || home == "-h" {
            return Some(Self::Usage);
        }
        let name = arguments.next().unwrap_or_else(|| "demo".to_owned());
        let prompt = arguments.next().unwrap_or_else(|| "Tell me a story.".to_owned());
        let is_understood = !home.starts_with('-') && arguments.next().is_none();
        is_understood.then(|| Self::Run { home: home.into(), name, prompt })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let (home, name, prompt) = match Wish::read(std::env::args().skip(1)) {
        Some(Wish::Run { home, name, prompt }) => (home, name, prompt),
        Some(Wish::Usage) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&home, &name, &prompt).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            problem.stderr_tail.iter().for_each(|line| eprintln!("  {line}"));
            problem.hint.iter().for_each(|hint| eprintln!("\nhint: {hint}"));
            ExitCode::from(problem.code.exit_code())
        }
    }
}

async fn run(home: &Path, name: &str, prompt: &str) -> Result<(), Problem> {
    let home = std::path::absolute(home).map_err(|error| unusable(home, &error))?;
    let paths = Paths::in_home(&home);
    let name = InstanceName::try_new(name)?;
    configure(&paths, &name)?;

    // 1. Become the owner of the home. This recovers what runs in it: servers of an earlier owner are taken over.
    let orchestrator =
        orchestrator_providers::builder(paths.clone(), &surroundings()).config(load_daemon_config(&paths.config_file())?).open().await?;
    let outcome = ask(&orchestrator, &name, prompt).await;

    // 4. Let the home go. `LeaveRunning` would let the servers go on for the next owner.
    for problem in orchestrator.shutdown(ShutdownMode::StopAll).await {
        eprintln!("while ending: {problem}");
    }
    outcome
}

async fn ask(orchestrator: &Orchestrator, name: &InstanceName, prompt: &str) -> Result<(), Problem> {
    // 2. Bring the instance up. `admit` alone would do it too; this tells more when it fails.
    orchestrator.up(name).await?;
    let server = orchestrator.wait_ready(name).await?;
    println!("`{name}` is ready on port {}", server.port.unwrap_or_default());

    // 3. A place on its server, held until the lease is dropped; then it is OpenAI's protocol at an address.
    let lease = orchestrator.admit(name.as_str()).await?;
    let client = Client::http(&format!("http://{}", lease.address()), None)?;
    let request = json!({ "messages": [{ "role": "user", "content": prompt }], "max_tokens": 64 });
    let mut chunks = client.chat_stream(&request).await?;
    while let Some(chunk) = chunks.next().await {
        print!("{}", chunk?["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        let _ = std::io::stdout().flush();
    }
    println!();
    Ok(())
}

/// Writes a demo model and its configuration, where there is no instance of that name.
fn configure(paths: &Paths, name: &InstanceName) -> Result<(), Problem> {
    if paths.instance_dir(name).exists() {
        return Ok(());
    }
    let model: PathBuf = paths.models_dir().join("demo.gguf");
    std::fs::create_dir_all(paths.models_dir()).map_err(|error| unusable(&model, &error))?;
    write_demo_model(&model, &DemoModel::default()).map_err(|error| unusable(&model, &error))?;
    let reference = ModelReference::try_file(model)?;
    let options = InitOptions::new(name.clone(), reference);
    init_instance(&paths.instances_dir(), &options)?;
    Ok(())
}

/// The library reads no environment variables: the program that embeds it says what it may know.
fn surroundings() -> ProviderSettings {
    let search_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect());
    ProviderSettings { search_path: search_path.unwrap_or_default(), ..ProviderSettings::default() }
}

fn unusable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(ErrorCode::HomeUnusable, format!("could not write `{}`", path.display())).with_cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(arguments: &[&str]) -> Option<Wish> {
        Wish::read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn help_is_no_folder() {
        assert_eq!(wish(&["--help"]), Some(Wish::Usage));
        assert_eq!(wish(&["-h", "x"]), Some(Wish::Usage));
        assert_eq!(wish(&["--home"]), None);
        assert_eq!(wish(&[]), None);
        assert_eq!(wish(&["a", "b", "c", "d"]), None);
        let run = |name: &str, prompt: &str| Some(Wish::Run { home: "./-x".into(), name: name.to_owned(), prompt: prompt.to_owned() });
        assert_eq!(wish(&["./-x"]), run("demo", "Tell me a story."));
        assert_eq!(wish(&["./-x", "--help", "-h"]), run("--help", "-h"));
    }
}

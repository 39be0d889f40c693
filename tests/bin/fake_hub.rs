//! `fake-hub [WORLD.json] [--lifetime SECONDS]`: a fake Hugging Face hub and Ollama registry for other programs.
//!
//! Prints its endpoints as one line of JSON, and serves until it is ended or its time is over. What it serves is a
//! `World` of `orchestrator_tests::hub` as JSON; a small demonstration, without one. Below `/fake/` of each host there
//! are `GET hosts`, `GET sent`, `GET seen`, `POST forget`, `POST|DELETE rules`, `POST limits` and `POST additions`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is for the program that started it")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use orchestrator_tests::hub::{Content, LibraryModel, Repository, RunningHub, World};

/// It lives no longer, unless it is said.
const LIFETIME: Duration = Duration::from_hours(1);

fn main() -> ExitCode {
    let (world, lifetime) = match read(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let hub = RunningHub::start(world);
    println!("{}", hub.hosts());
    let _ = std::io::stdout().flush();
    std::thread::sleep(lifetime);
    ExitCode::SUCCESS
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<(World, Duration), String> {
    let mut lifetime = LIFETIME;
    let mut world = demonstration();
    while let Some(argument) = arguments.next() {
        if argument == "--lifetime" {
            let text = arguments.next().unwrap_or_default();
            lifetime = Duration::from_secs(text.parse().map_err(|_| format!("`--lifetime` needs seconds, not `{text}`"))?);
        } else {
            let text = std::fs::read_to_string(&argument).map_err(|error| format!("`{argument}`: {error}"))?;
            world = serde_json::from_str(&text).map_err(|error| format!("`{argument}`: {error}"))?;
        }
    }
    Ok((world, lifetime))
}

fn demonstration() -> World {
    let repository =
        Repository::new("demo/tiny").license("mit").file("config.json", "{}\n").file("tiny.gguf", Content::seeded(1, 64 << 20));
    let model = LibraryModel::new("tiny", "latest", Content::seeded(2, 8 << 20)).layer("template", "{{ .Prompt }}");
    World { repositories: vec![repository], models: vec![model], ..World::default() }
}

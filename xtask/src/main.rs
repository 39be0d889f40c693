//! Developer tasks: `cargo xtask tidy | gen | test | bench | faults | fuzz`.
//!
//! Tasks call the same programs a developer would call by hand and say which, so that each step can be repeated.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool talks on the terminal")]

mod bench;
mod faults;
mod fuzz;
mod generate;
mod python;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of Orchestrator")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks the arrows between crates, module docs, file sizes and what each crate must never do.
    Tidy,
    /// Writes everything that is generated from the types: schemas, configuration and command line reference.
    Gen {
        /// Write nothing; fail when a file is not as it would be written.
        #[arg(long)]
        check: bool,
    },
    /// Runs everything: checks, Rust tests, the real engine end to end, the Python wheel.
    Test(test::TestArguments),
    /// Measures on this machine and prints the numbers for `docs/measurements.md`.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        what: bench::Bench,
    },
    /// Runs the fault table against the real daemon and prints what held, with the times and the seed.
    Faults(faults::FaultsArguments),
    /// Feeds damaged input to everything that reads bytes from outside.
    Fuzz(fuzz::FuzzArguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Tidy => tidy::run(),
        Task::Gen { check } => generate::run(if check { generate::Mode::Check } else { generate::Mode::Write }),
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench { what } => bench::run(what),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::Faults(arguments) => faults::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

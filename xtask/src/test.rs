//! `cargo xtask test`: everything that must hold before a change lands.

use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::shell::{TaskResult, answers, call, cargo};
use crate::{fuzz, generate, python, tidy};

/// Which part to run; all of them, when none is named.
#[derive(Args)]
pub(crate) struct TestArguments {
    /// Run only these parts.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// The parts of the tests, in the order they run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting, lints, arrows between crates.
    Lint,
    /// Schemas and reference pages as the types say.
    Docs,
    /// All Rust tests, fake engines and the real engine end to end.
    Rust,
    /// Everything that reads bytes from outside, with damaged ones, for a moment.
    Fuzz,
    /// The Python wheel, built, installed and tested.
    Python,
}

/// One part: what it is called, and what it does.
struct Step {
    part: Part,
    name: &'static str,
    task: fn() -> TaskResult,
}

const STEPS: [Step; 5] = [
    Step { part: Part::Lint, name: "lint", task: lint },
    Step { part: Part::Docs, name: "docs", task: || generate::run(generate::Mode::Check) },
    Step { part: Part::Rust, name: "rust", task: rust },
    Step { part: Part::Fuzz, name: "fuzz", task: fuzz::briefly },
    Step { part: Part::Python, name: "python", task: python::run },
];

pub(crate) fn run(arguments: &TestArguments) -> TaskResult {
    for step in STEPS.iter().filter(|step| arguments.parts.is_empty() || arguments.parts.contains(&step.part)) {
        println!("\n== {}", step.name);
        let begun = Instant::now();
        (step.task)()?;
        println!("== {}: done after {} s", step.name, begun.elapsed().as_secs());
    }
    println!("\nall is well");
    Ok(())
}

fn lint() -> TaskResult {
    tidy::run()?;
    if answers(&mut cargo(&["fmt", "--version"])) {
        call(&mut cargo(&["fmt", "--all", "--check"]))?;
    } else {
        println!("note: rustfmt is not installed; `rustup component add rustfmt` brings it");
    }
    if answers(&mut cargo(&["clippy", "--version"])) {
        call(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"]))?;
    } else {
        println!("note: clippy is not installed; `rustup component add clippy` brings it");
    }
    Ok(())
}

fn rust() -> TaskResult {
    // The Python module links against Python only when a wheel is built; its tests run there.
    let everything = ["--workspace", "--exclude", "orchestrator-py", "--locked"];
    // The end-to-end tests start these programs.
    call(cargo(&["build", "--bins"]).args(everything))?;
    if answers(&mut cargo(&["nextest", "--version"])) {
        call(cargo(&["nextest", "run", "--no-fail-fast"]).args(everything))?;
        call(cargo(&["test", "--doc", "--quiet"]).args(everything))?;
    } else {
        call(cargo(&["test", "--no-fail-fast"]).args(everything))?;
    }
    Ok(())
}

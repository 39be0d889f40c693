//! `cargo xtask test`: everything that must hold before a change lands.

use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::shell::{TaskResult, answers, call, cargo};
use crate::{generate, python, tidy};

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
    /// The Python wheel, built, installed and tested.
    Python,
}

fn run_part(part_name: &str, task: impl FnOnce() -> TaskResult) -> TaskResult {
    println!("\n== {part_name}");
    let begun = Instant::now();
    task()?;
    println!("== {part_name}: done after {} s", begun.elapsed().as_secs());
    Ok(())
}

fn run_all(parts: &[(Part, &str, fn() -> TaskResult)], wanted: &[Part]) -> TaskResult {
    for (part, name, task) in parts {
        if wanted.is_empty() || wanted.contains(part) {
            run_part(name, task)?;
        }
    }
    Ok(())
}

pub(crate) fn run(arguments: &TestArguments) -> TaskResult {
    let parts: [(Part, &str, fn() -> TaskResult); 4] = [
        (Part::Lint, "lint", lint),
        (Part::Docs, "docs", || generate::run(generate::Mode::Check)),
        (Part::Rust, "rust", rust),
        (Part::Python, "python", python::run),
    ];
    run_all(&parts, &arguments.parts)?;
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

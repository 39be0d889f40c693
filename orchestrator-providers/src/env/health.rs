//! Tests of an environment: imports, versions, a start of the engine's help.
//!
//! Owns: what is looked at and what counts as good. Starts short programs and nothing else.

use std::path::Path;

use orchestrator_core::env::{EnvError, EnvironmentCheck};

use super::build::Bench;
use super::program::{Program, ProgramEnd};
use super::recipe::Recipe;

/// Flags that keep a person's own packages out and an environment unchanged.
const ISOLATED: [&str; 2] = ["-I", "-B"];

/// Runs every check of `recipe` on what lies in `folder`.
pub(super) async fn check(bench: &Bench<'_>, recipe: &Recipe, folder: &Path) -> Result<Vec<EnvironmentCheck>, EnvError> {
    let python = folder.join("bin").join("python");
    let launcher = folder.join(&recipe.text.launcher);
    let mut checks = Vec::new();

    let script = vec!["-c".to_owned(), "import sys; print(sys.version.split()[0])".to_owned()];
    checks.push(ask(bench, "python starts", &python, script, |said| !said.is_empty()).await?);
    for module in &recipe.text.imports {
        let script = vec!["-c".to_owned(), format!("import {module}; print('imported')")];
        checks.push(ask(bench, &format!("import {module}"), &python, script, |said| said == "imported").await?);
    }
    for pin in &recipe.text.packages {
        let Some((package, pinned)) = pin.split_once("==") else { continue };
        let script = vec!["-c".to_owned(), format!("from importlib.metadata import version; print(version('{package}'))")];
        checks.push(ask(bench, &format!("version of {package}"), &python, script, |said| said == pinned).await?);
    }
    let help = vec![launcher.to_string_lossy().into_owned(), "--help".to_owned()];
    let word = recipe.text.help_shows.as_str();
    checks.push(ask(bench, &format!("{} --help", recipe.text.launcher), &python, help, |said| said.contains(word)).await?);
    Ok(checks)
}

/// Runs Python in the environment and judges what it says.
async fn ask(
    bench: &Bench<'_>,
    name: &str,
    python: &Path,
    arguments: Vec<String>,
    is_good: impl Fn(&str) -> bool,
) -> Result<EnvironmentCheck, EnvError> {
    let arguments = ISOLATED.map(str::to_owned).into_iter().chain(arguments);
    let (passed, detail) = match bench.run_raw(Program::quick(python, arguments)).await? {
        Ok(ProgramEnd::Cancelled) => return Err(bench.cancelled()),
        Ok(ProgramEnd::TimedOut(output)) => (false, format!("it took too long: {}", output.last_words())),
        Ok(ProgramEnd::Exited(output)) => {
            let said = output.stdout.join("\n");
            let passed = output.succeeded() && is_good(said.trim());
            let detail = match (passed, output.stdout.first()) {
                (true, Some(first)) => first.trim().to_owned(),
                _ => output.last_words(),
            };
            (passed, detail)
        }
        Err(error) => (false, format!("`{}` cannot be run: {error}", python.display())),
    };
    Ok(EnvironmentCheck { name: name.to_owned(), passed, detail })
}

/// Returns the checks that failed in one line; `None` when all passed.
pub(super) fn failures(checks: &[EnvironmentCheck]) -> Option<String> {
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).map(|check| format!("{}: {}", check.name, check.detail)).collect();
    (!failed.is_empty()).then(|| failed.join("; "))
}

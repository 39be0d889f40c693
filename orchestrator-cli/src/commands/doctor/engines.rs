//! What models run on: engines, environments, and the programs that environments are built with.

use std::ffi::OsString;
use std::path::PathBuf;

use orchestrator_core::env::{EnvRegistry as _, EnvironmentStatus};
use orchestrator_core::{ErrorCode, Paths};
use orchestrator_providers::{EnvPaths, UvEnvironments};

use super::{Check, PROGRAM_DEADLINE};
use crate::env_vars;
use crate::programs;
use crate::provider_settings;

/// The oldest Python that environments can be built with.
const OLDEST_PYTHON: (u32, u32) = (3, 10);

pub(super) async fn checks(paths: &Paths) -> Vec<Check> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let environments = UvEnvironments::new(EnvPaths::from(paths), provider_settings::from_environment()).list().await.unwrap_or_default();
    let binary = programs::find("llama-server", &search_path);
    let has_engine = binary.is_some() || environments.iter().any(|status| status.installed.is_some());
    vec![engines(binary, &environments), python(&search_path, has_engine).await, uv(paths, &search_path).await]
}

fn engines(binary: Option<PathBuf>, environments: &[EnvironmentStatus]) -> Check {
    let mut found: Vec<String> = binary.map(|path| path.display().to_string()).into_iter().collect();
    for status in environments {
        let Some(environment) = &status.installed else { continue };
        let age = if status.outdated { ", from an older recipe" } else { "" };
        found.push(format!("environment {} with {}{age}", status.key, environment.engine_version));
    }
    if let Some((key, problem)) = environments.iter().find_map(|status| Some((&status.key, status.problem.as_ref()?))) {
        found.push(problem.to_string());
        let hint = problem.hint.clone().unwrap_or_else(|| format!("build it again with `orch env create {key}`"));
        return Check::warn("engines", found.join("\n"), hint);
    }
    if found.is_empty() {
        return Check::warn("engines", "none is here yet", "`orch env create llama-cpp-cpu` builds one; `orch quickstart` does so too");
    }
    if let Some(old) = environments.iter().find(|status| status.outdated) {
        return Check::warn("engines", found.join("\n"), format!("`orch env create {}` builds it anew", old.key));
    }
    Check::ok("engines", found.join("\n"))
}

async fn python(search_path: &OsString, has_engine: bool) -> Check {
    let configured = env_vars::PYTHON.read().map(PathBuf::from);
    let Some(program) = configured.or_else(|| programs::find("python3", search_path)) else {
        return missing_python("no `python3` is in the search path", has_engine);
    };
    let Some(line) = programs::first_line(&program, &["--version"], PROGRAM_DEADLINE).await else {
        return missing_python(&format!("{} does not run", program.display()), has_engine);
    };
    match parse_version(&line) {
        Some(version) if version >= OLDEST_PYTHON => Check::ok("python", format!("{line} ({})", program.display())),
        _ => missing_python(&format!("{line} ({}) is too old", program.display()), has_engine),
    }
}

fn missing_python(detail: &str, has_engine: bool) -> Check {
    let hint = format!("install Python {}.{} or newer with venv, or name one with `ORCH_PYTHON`", OLDEST_PYTHON.0, OLDEST_PYTHON.1);
    // Whoever has an engine can do without environments.
    if has_engine { Check::warn("python", detail, hint) } else { Check::fail("python", ErrorCode::EnvToolMissing, detail, hint) }
}

async fn uv(paths: &Paths, search_path: &OsString) -> Check {
    let brought_in = paths.tools_dir().join("uv/bin/uv");
    let configured = env_vars::UV.read().map(PathBuf::from);
    let found = configured
        .clone()
        .or_else(|| programs::find("uv", search_path))
        .or_else(|| programs::is_executable(&brought_in).then_some(brought_in));
    let Some(program) = found else {
        return Check::ok("uv", "not here; it is brought in with pip when an environment is built");
    };
    match programs::first_line(&program, &["--version"], PROGRAM_DEADLINE).await {
        Some(line) => Check::ok("uv", format!("{line} ({})", program.display())),
        None if configured.is_some() => Check::fail(
            "uv",
            ErrorCode::EnvToolMissing,
            format!("{}, which `ORCH_UV` names, does not run", program.display()),
            "correct `ORCH_UV`, or unset it",
        ),
        None => Check::warn("uv", format!("{} does not run", program.display()), "remove it, or install it again"),
    }
}

/// Reads `Python 3.11.7`.
fn parse_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("Python ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::CheckResult;

    #[test]
    fn versions_of_python_are_read() {
        for (line, expected) in [("Python 3.11.7", Some((3, 11))), ("Python 3.9", Some((3, 9))), ("Python 3.14rc1", None), ("pypy", None)] {
            assert_eq!(parse_version(line), expected, "{line}");
        }
    }

    #[test]
    fn no_python_is_fatal_only_without_an_engine() {
        assert_eq!(missing_python("x", true).result, CheckResult::Warn);
        assert_eq!(missing_python("x", false).result, CheckResult::Fail);
    }
}

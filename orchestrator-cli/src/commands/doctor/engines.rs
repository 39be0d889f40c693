//! What models run on: engines, environments, and the programs that environments are built with.

use std::path::Path;

use orchestrator_core::env::{EnvRegistry as _, EnvironmentStatus};
use orchestrator_core::{Paths, Problem};
use orchestrator_providers::{EnvPaths, FoundProgram, UvEnvironments, find_programs};

use super::Check;
use crate::provider_settings;

pub(super) async fn checks(paths: &Paths) -> Vec<Check> {
    let (paths, settings) = (EnvPaths::from(paths), provider_settings::from_environment());
    let programs = find_programs(&paths, &settings).await;
    let environments = UvEnvironments::new(paths, settings).list().await.unwrap_or_default();
    let has_engine = programs.llama_server.is_some() || environments.iter().any(|status| status.installed.is_some());
    vec![engines(programs.llama_server.as_deref(), &environments), python(programs.python, has_engine), uv(programs.uv)]
}

fn engines(binary: Option<&Path>, environments: &[EnvironmentStatus]) -> Check {
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

fn python(found: Result<FoundProgram, Problem>, has_engine: bool) -> Check {
    match found {
        Ok(program) => Check::ok("python", format!("Python {} ({})", program.version, program.path.display())),
        Err(problem) => {
            let hint = problem.hint.clone().unwrap_or_default();
            let hint = format!("{hint}; or name one with `ORCH_PYTHON`");
            // Whoever has an engine can do without environments.
            if has_engine {
                Check::warn("python", problem.to_string(), hint)
            } else {
                Check::fail("python", problem.code, problem.to_string(), hint)
            }
        }
    }
}

fn uv(found: Result<Option<FoundProgram>, Problem>) -> Check {
    match found {
        Ok(Some(program)) => Check::ok("uv", format!("uv {} ({})", program.version, program.path.display())),
        Ok(None) => Check::ok("uv", "not here; it is brought in with pip when an environment is built"),
        // Only one that was named is insisted on.
        Err(problem) => Check::fail("uv", problem.code, problem.to_string(), "correct `ORCH_UV`, or unset it"),
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::ErrorCode;

    use super::*;
    use crate::commands::doctor::CheckResult;

    #[test]
    fn no_python_is_fatal_only_without_an_engine() {
        let missing = || Err(Problem::new(ErrorCode::EnvToolMissing, "x").with_hint("install it"));
        assert_eq!(python(missing(), true).result, CheckResult::Warn);
        assert_eq!(python(missing(), false).result, CheckResult::Fail);
        assert_eq!(python(missing(), false).hint.as_deref(), Some("install it; or name one with `ORCH_PYTHON`"));
    }

    #[test]
    fn a_uv_that_is_not_here_is_no_fault() {
        assert_eq!(uv(Ok(None)).result, CheckResult::Ok);
        assert_eq!(uv(Err(Problem::new(ErrorCode::EnvToolMissing, "x"))).result, CheckResult::Fail);
    }
}

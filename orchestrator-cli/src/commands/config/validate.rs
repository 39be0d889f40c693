//! `orch config validate`: whether configurations can be used.

use std::path::Path;

use orchestrator_core::config::load::{Naming, load_instance};
use orchestrator_core::config::{ConfigError, load_daemon_config};
use orchestrator_core::error::ErrorCode;
use orchestrator_core::{Paths, Problem};

use super::report::{CheckedFile, ConfigReport, FileProblem};
use crate::args::config::ValidateArguments;
use crate::context::Context;
use crate::error::CommandError;

/// Checks one file, or everything in the home.
pub(crate) fn run(context: &Context, arguments: &ValidateArguments) -> Result<(), CommandError> {
    let report = match &arguments.path {
        Some(path) => of_file(path, context.paths().ok())?,
        None => ConfigReport::of_home(context.paths()?).0,
    };
    report.show(context)
}

fn of_file(path: &Path, paths: Option<&Paths>) -> Result<ConfigReport, CommandError> {
    if path.is_dir() {
        let problem = Problem::new(ErrorCode::ConfigUnreadable, format!("`{}` is a directory", path.display()));
        return Err(problem.with_hint("name a configuration file in it, or leave the path out to check the whole home").into());
    }
    if !path.exists() {
        return Err(ConfigError::NotFound { file: path.to_path_buf() }.into());
    }
    let is_daemon_config = paths.is_some_and(|paths| is_same(path, &paths.config_file()));
    let (instance, error) = if is_daemon_config {
        (None, load_daemon_config(path).err())
    } else {
        match load_instance(path, Naming::Free) {
            Ok(spec) => (Some(spec.name), None),
            Err(error) => (None, Some(error)),
        }
    };
    Ok(ConfigReport {
        valid: error.is_none(),
        checked: vec![CheckedFile { file: path.to_path_buf(), instance, valid: error.is_none() }],
        problems: error.iter().map(FileProblem::new).collect(),
        findings: None,
    })
}

fn is_same(path: &Path, other: &Path) -> bool {
    matches!((path.canonicalize(), other.canonicalize()), (Ok(path), Ok(other)) if path == other)
}

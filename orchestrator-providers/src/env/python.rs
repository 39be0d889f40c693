//! Finds the system's Python.
//!
//! Owns: where it is looked for, and asking it who it is. It is never downloaded.

use std::path::{Path, PathBuf};

use orchestrator_core::env::EnvError;
use rustix::fs::{Access, access};

use super::build::Bench;
use super::program::{Program, ProgramEnd};
use super::recipe::PythonVersion;
use crate::settings::ProviderSettings;

/// A Python that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Python {
    /// The program itself, behind every link, wrapper and virtual environment.
    pub(super) path: PathBuf,
    /// Its version.
    pub(super) version: PythonVersion,
    /// Its whole version, such as `3.11.2`.
    pub(super) full_version: String,
}

/// The names it goes by. The plain ones come first: they are what a person means by "Python".
const NAMES: [&str; 8] = ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3.15"];

/// Makes Python say its version and its real path. A path behind links stays good when a link is turned to a newer
/// version, whose packages lie elsewhere.
const WHO_ARE_YOU: &str = "import os, sys\n\
    print('%d.%d.%d' % sys.version_info[:3])\n\
    print(os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable))";

/// Finds a Python of at least `minimum`: the configured one, or else the first on the search path.
pub(super) async fn find(bench: &Bench<'_>, settings: &ProviderSettings, minimum: PythonVersion) -> Result<Python, EnvError> {
    let missing = |reason: String| EnvError::ToolMissing {
        tool: "python3".to_owned(),
        reason,
        hint: format!("install Python {minimum} or newer, for example with `apt install python3 python3-venv`"),
    };
    if let Some(configured) = &settings.python {
        let found = ask(bench, configured).await?.map_err(|reason| missing(format!("`{}` {reason}", configured.display())))?;
        let too_old = || missing(format!("`{}` is Python {}, and {minimum} is needed", configured.display(), found.full_version));
        return if found.version >= minimum { Ok(found) } else { Err(too_old()) };
    }
    let mut refused = Vec::new();
    for name in NAMES {
        for candidate in on_search_path(&settings.search_path, name) {
            match ask(bench, &candidate).await? {
                Ok(found) if found.version >= minimum => return Ok(found),
                Ok(found) => refused.push(format!("`{}` is Python {}", candidate.display(), found.full_version)),
                Err(reason) => refused.push(format!("`{}` {reason}", candidate.display())),
            }
        }
    }
    Err(missing(if refused.is_empty() {
        "none was found on the search path".to_owned()
    } else {
        format!("none of at least {minimum} was found on the search path ({})", refused.join(", "))
    }))
}

/// Returns the programs of that name on the search path, in its order.
pub(crate) fn on_search_path(search_path: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let absolute = search_path.iter().filter(|folder| folder.is_absolute());
    absolute.map(|folder| folder.join(name)).filter(|path| is_program(path)).collect()
}

/// Returns whether a path is a file that we may run.
pub(crate) fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// Asks a program whether it is a Python, and which. The inner error is for people; it follows the program's name.
async fn ask(bench: &Bench<'_>, path: &Path) -> Result<Result<Python, String>, EnvError> {
    let program = Program::quick(path, ["-I", "-c", WHO_ARE_YOU]);
    let output = match bench.run_raw(program).await? {
        Err(error) => return Ok(Err(format!("cannot be run: {error}"))),
        Ok(ProgramEnd::Exited(output)) if output.succeeded() => output,
        Ok(ProgramEnd::Exited(output) | ProgramEnd::TimedOut(output)) => {
            return Ok(Err(format!("does not work: {}", output.last_words())));
        }
        Ok(ProgramEnd::Cancelled) => return Err(bench.cancelled()),
    };
    let answer = output.stdout.first().zip(output.stdout.get(1));
    let python = answer.and_then(|(version, path)| {
        let path = PathBuf::from(path);
        let whole = path.is_absolute() && is_program(&path);
        let version_number = PythonVersion::parse(version)?;
        whole.then(|| Python { path, version: version_number, full_version: version.trim().to_owned() })
    });
    Ok(python.ok_or_else(|| "is no Python that knows its own path".to_owned()))
}

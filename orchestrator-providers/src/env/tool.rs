//! Finds the installer `uv`, or brings it in through `pip` into our own folder of tools.
//!
//! Owns: where `uv` is looked for, which one is good enough, how it is brought in. What is brought in is pinned, and
//! its digest is checked by `pip`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use orchestrator_core::env::EnvError;
use uuid::Uuid;

use super::build::Bench;
use super::failure::{InstallFailure, classify};
use super::layout::{EnvPaths, remove_all, sync_file_system, sync_folder};
use super::lock::{self, Waited};
use super::prerequisites::FoundProgram;
use super::program::{Program, ProgramEnd};
use super::python::{Python, on_search_path};
use super::{clock, recipe::PythonVersion};
use crate::settings::ProviderSettings;

/// The `uv` that is brought in.
const LOCK: &str = include_str!("recipes/uv.lock");
/// The oldest `uv` that makes environments which can be moved and checks digests as we ask.
const MINIMUM: PythonVersion = PythonVersion { major: 0, minor: 4 };
/// What to install when nothing of ours works.
const HINT: &str = "install `uv` (https://docs.astral.sh/uv), for example with `pipx install uv`, or let us bring it in: \
    `apt install python3-pip python3-venv`";

/// Finds `uv`: the configured one, the search path, our own folder; or else brings it in.
pub(super) async fn find_uv(
    bench: &Bench<'_>,
    settings: &ProviderSettings,
    paths: &EnvPaths,
    python: &Python,
) -> Result<PathBuf, EnvError> {
    bench.phase("looking for uv");
    match look_for_uv(bench, settings, paths).await? {
        Some(found) => Ok(found.path),
        None => bring_in(bench, paths, python).await,
    }
}

/// Finds a `uv` that is there: the configured one, or else the first good one on the search path or in our own folder.
pub(super) async fn look_for_uv(
    bench: &Bench<'_>,
    settings: &ProviderSettings,
    paths: &EnvPaths,
) -> Result<Option<FoundProgram>, EnvError> {
    if let Some(path) = settings.uv.clone() {
        return match version_of(bench, &path).await? {
            Ok(version) => Ok(Some(FoundProgram { path, version })),
            Err(reason) => Err(missing(format!("`{}` {reason}", path.display()))),
        };
    }
    let mut candidates = on_search_path(&settings.search_path, "uv");
    candidates.push(paths.own_uv());
    for path in candidates.into_iter().filter(|path| path.is_file()) {
        match version_of(bench, &path).await? {
            Ok(version) => return Ok(Some(FoundProgram { path, version })),
            Err(reason) => bench.note(&format!("`{}` {reason}", path.display())),
        }
    }
    Ok(None)
}

fn missing(reason: String) -> EnvError {
    EnvError::ToolMissing { tool: "uv".to_owned(), reason, hint: HINT.to_owned() }
}

/// Asks a `uv` for its version. The inner error is for people; it follows the program's name.
async fn version_of(bench: &Bench<'_>, path: &Path) -> Result<Result<String, String>, EnvError> {
    match bench.run_raw(Program::quick(path, ["--version"])).await? {
        Err(error) => Ok(Err(format!("cannot be run: {error}"))),
        Ok(ProgramEnd::Cancelled) => Err(bench.cancelled()),
        Ok(ProgramEnd::TimedOut(_)) => Ok(Err("does not answer".to_owned())),
        Ok(ProgramEnd::Exited(output)) => {
            let first = output.stdout.first().map_or("", String::as_str);
            let text = first.strip_prefix("uv ").map(|rest| rest.split(' ').next().unwrap_or(rest));
            Ok(match text.and_then(|text| Some((text, PythonVersion::parse(text)?))) {
                Some((text, version)) if output.succeeded() && version >= MINIMUM => Ok(text.to_owned()),
                Some((_, version)) if output.succeeded() => Err(format!("is version {version}, and {MINIMUM} is needed")),
                _ => Err(format!("does not work: {}", output.last_words())),
            })
        }
    }
}

/// Installs `uv` with `pip` into a folder of its own, tries it, and renames the folder into place.
async fn bring_in(bench: &Bench<'_>, paths: &EnvPaths, python: &Python) -> Result<PathBuf, EnvError> {
    let own = paths.own_uv();
    let waiting = || bench.phase("waiting for another process that brings in uv");
    let lock = match lock::hold(&paths.tools_lock(), bench.cancel, waiting).await {
        Ok(Waited::Held(lock)) => lock,
        Ok(Waited::Cancelled) => return Err(bench.cancelled()),
        Err(error) => return Err(bench.io("lock", &paths.tools_lock(), error)),
    };
    if own.is_file() && version_of(bench, &own).await?.is_ok() {
        return Ok(own);
    }
    bench.phase("bringing in uv with pip");
    let building = paths.tools_dir.join(".tmp");
    // We hold the lock: whatever lies here is of builds that ended. What cannot go now goes next time.
    drop(remove_all(&building));
    let folder = building.join(Uuid::now_v7().to_string());
    fs::create_dir_all(&folder).map_err(|error| bench.io("create", &folder, error))?;
    let result = install(bench, python, &folder).await.and_then(|target| publish(bench, paths, &target));
    drop(remove_all(&folder));
    drop(lock);
    result.map(|()| own)
}

/// Runs `pip` and tries what it installed. Returns the folder it installed into.
async fn install(bench: &Bench<'_>, python: &Python, folder: &Path) -> Result<PathBuf, EnvError> {
    let pip = find_pip(bench, python, folder).await?;
    let requirements = folder.join("uv.lock");
    fs::write(&requirements, LOCK).map_err(|error| bench.io("write", &requirements, error))?;
    let target = folder.join("uv");
    // `--target` is allowed where the system's Python is managed by its packages: nothing of it is touched.
    let mut arguments: Vec<OsString> =
        ["-I", "-m", "pip", "install", "--no-input", "--no-deps", "--disable-pip-version-check"].map(OsString::from).into();
    arguments.extend(["--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--target"].map(OsString::from));
    arguments.extend([target.clone().into(), "-r".into(), requirements.into()]);
    let mut program = Program::quick(&pip, arguments);
    // Settings of a person's own that contradict `--target`.
    program.variables = vec![("PIP_USER", "0".into()), ("PIP_REQUIRE_VIRTUALENV", "0".into())];
    program.limit = clock::INSTALL;
    let output = bench.run("bringing in uv", program, &mut |_| {}).await?;
    if !output.succeeded() {
        return Err(match classify(&output.last_lines()) {
            InstallFailure::DiskFull => bench.disk_full(bench.envs_dir),
            InstallFailure::Network { detail } => bench.network(detail),
            InstallFailure::Other { detail } => missing(format!("it was not found, and `pip` could not bring it in: {detail}")),
        });
    }
    let uv = target.join("bin").join("uv");
    version_of(bench, &uv).await?.map_err(|reason| missing(format!("the one that `pip` brought in {reason}")))?;
    Ok(target)
}

/// Returns a Python that has `pip`: the system's, or one in a virtual environment of our own.
async fn find_pip(bench: &Bench<'_>, python: &Python, folder: &Path) -> Result<PathBuf, EnvError> {
    let has_pip = |python: PathBuf| async move {
        match bench.run_raw(Program::quick(&python, ["-I", "-m", "pip", "--version"])).await? {
            Ok(ProgramEnd::Exited(output)) => Ok(output.succeeded()),
            Ok(ProgramEnd::Cancelled) => Err(bench.cancelled()),
            Ok(ProgramEnd::TimedOut(_)) | Err(_) => Ok(false),
        }
    };
    if has_pip(python.path.clone()).await? {
        return Ok(python.path.clone());
    }
    bench.note("the system's Python has no pip; trying one of our own");
    let venv = folder.join("venv");
    let mut program = Program::quick(&python.path, ["-I", "-m", "venv"].map(OsString::from).into_iter().chain([venv.clone().into()]));
    program.limit = clock::VENV;
    let made = bench.run("making a virtual environment for pip", program, &mut |_| {}).await?;
    let inner = venv.join("bin").join("python");
    if made.succeeded() && has_pip(inner.clone()).await? {
        return Ok(inner);
    }
    if let InstallFailure::DiskFull = classify(&made.last_lines()) {
        return Err(bench.disk_full(bench.envs_dir));
    }
    let python = python.path.display();
    Err(missing(format!("it was not found, and it cannot be brought in: `{python}` has neither `pip` nor `ensurepip`")))
}

/// Puts the folder that was tried under its final name.
fn publish(bench: &Bench<'_>, paths: &EnvPaths, target: &Path) -> Result<(), EnvError> {
    let final_folder = paths.tools_dir.join("uv");
    sync_file_system(target)
        .and_then(|()| remove_all(&final_folder))
        .and_then(|()| fs::rename(target, &final_folder))
        .and_then(|()| sync_folder(&paths.tools_dir))
        .map_err(|error| bench.io("publish", &final_folder, error))
}

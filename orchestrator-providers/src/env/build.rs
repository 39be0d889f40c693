//! Builds one environment: an empty one, the packages of the lock, the launcher, the tests, and its final name.
//!
//! Owns: the order of the steps and what a failed step means. The caller holds the lock of the key.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use orchestrator_core::EnvKey;
use orchestrator_core::env::{EnvError, Environment};
use orchestrator_core::event::Timestamp;
use orchestrator_core::operation::{Progress, ProgressUpdate};
use tokio_util::sync::CancellationToken;

use super::failure::{InstallFailure, classify};
use super::layout::{EnvPaths, remove_all, size_of, sync_file_system, sync_folder};
use super::log::BuildLog;
use super::manifest::Manifest;
use super::program::{self, Program, ProgramEnd, ProgramOutput};
use super::python::Python;
use super::recipe::Recipe;
use super::{clock, health, lock};

/// What every step of one piece of work shares.
pub(super) struct Bench<'a> {
    /// What is being built.
    pub(super) key: &'a EnvKey,
    /// Who is told how far it is.
    pub(super) progress: &'a dyn Progress,
    /// Ends the work.
    pub(super) cancel: &'a CancellationToken,
    /// Where everything is written down; `None` for work that builds nothing.
    pub(super) log: Option<&'a BuildLog>,
    /// The folder of all environments, for the words about a full disk.
    pub(super) envs_dir: &'a Path,
}

impl Bench<'_> {
    /// Tells how far the work is.
    pub(super) fn phase(&self, phase: &str) {
        self.note(&format!("== {phase}"));
        self.progress.update(ProgressUpdate { phase: phase.to_owned(), ..ProgressUpdate::default() });
    }

    /// Writes a line to the log.
    pub(super) fn note(&self, line: &str) {
        if let Some(log) = self.log {
            log.line(line);
        }
    }

    /// Runs a program. The inner error says that it could not be started.
    pub(super) async fn run_raw(&self, program: Program) -> Result<io::Result<ProgramEnd>, EnvError> {
        self.note(&format!("$ {}", program.shown()));
        if self.cancel.is_cancelled() {
            return Err(self.cancelled());
        }
        Ok(program::run(program, self.cancel, &mut |line| self.note(line)).await)
    }

    /// Runs a program that must at least start and end. Its status is the caller's to judge.
    pub(super) async fn run(
        &self,
        step: &str,
        program: Program,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<ProgramOutput, EnvError> {
        self.note(&format!("$ {}", program.shown()));
        let (shown, limit) = (program.path.clone(), program.limit);
        let mut both = |line: &str| {
            self.note(line);
            on_line(line);
        };
        match program::run(program, self.cancel, &mut both).await {
            Ok(ProgramEnd::Exited(output)) => Ok(output),
            Ok(ProgramEnd::Cancelled) => Err(self.cancelled()),
            Ok(ProgramEnd::TimedOut(output)) => {
                Err(self.failed(step, format!("it took longer than {} s: {}", limit.as_secs(), output.last_words())))
            }
            Err(error) => Err(self.failed(step, format!("`{}` cannot be run: {error}", shown.display()))),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.log.map_or_else(|| self.envs_dir.join(".logs"), |log| log.path().to_path_buf())
    }

    /// Nobody wants the work any more.
    pub(super) fn cancelled(&self) -> EnvError {
        EnvError::Cancelled { key: self.key.clone() }
    }

    /// A step failed.
    pub(super) fn failed(&self, step: &str, detail: String) -> EnvError {
        EnvError::BuildFailed { key: self.key.clone(), step: step.to_owned(), detail, log: self.log_path() }
    }

    /// The index was not reached.
    pub(super) fn network(&self, detail: String) -> EnvError {
        EnvError::Network { key: self.key.clone(), detail, log: self.log_path() }
    }

    /// Nothing can be written to the disk of `path` any more.
    pub(super) fn disk_full(&self, path: &Path) -> EnvError {
        EnvError::DiskFull { key: self.key.clone(), path: path.to_path_buf() }
    }

    /// What was built does not work.
    pub(super) fn unhealthy(&self, detail: String) -> EnvError {
        EnvError::Unhealthy { key: self.key.clone(), detail, log: self.log_path() }
    }

    /// A file or folder could not be read or written.
    pub(super) fn io(&self, action: &'static str, path: &Path, source: io::Error) -> EnvError {
        io_error(self.key, action, path, source)
    }
}

/// A file or folder could not be read or written; a full disk is told apart.
pub(super) fn io_error(key: &EnvKey, action: &'static str, path: &Path, source: io::Error) -> EnvError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => EnvError::DiskFull { key: key.clone(), path: path.to_path_buf() },
        _ => EnvError::Io { action, path: path.to_path_buf(), source },
    }
}

/// What a build is made with.
pub(super) struct Tools {
    /// The installer.
    pub(super) uv: PathBuf,
    /// The system's Python.
    pub(super) python: Python,
}

/// Removes what builds of this key left that have ended. The caller holds the lock of the key; a program that
/// outlived its builder still holds the lock of its folder, which then stays until the next time.
pub(super) fn collect_leftovers(key: &EnvKey, paths: &EnvPaths) -> io::Result<()> {
    for leftover in paths.leftovers(key)? {
        if lock::try_hold(&leftover.join(LOCK))?.is_some() {
            remove_all(&leftover)?;
        }
    }
    Ok(())
}

/// The lock inside the folder of a build.
const LOCK: &str = "build.lock";

/// Builds the environment and puts it under its final name. On failure nothing stands there.
pub(super) async fn build(bench: &Bench<'_>, recipe: &Recipe, paths: &EnvPaths, tools: &Tools) -> Result<Environment, EnvError> {
    let folder = paths.new_build(bench.key);
    let held = lock::try_hold(&folder.join(LOCK)).map_err(|error| bench.io("lock", &folder, error))?;
    let Some(held) = held else { return Err(bench.failed("locking", format!("`{}` is somebody else's", folder.display()))) };
    let inside = Inside { bench, recipe, paths, tools, digest: recipe.digest_on(tools.python.version), folder: &folder, held: &held };
    let result = inside.all_steps().await;
    if let Err(error) = &result {
        bench.note(&format!("failed: {error}"));
    }
    // What cannot be removed now is collected by the next build.
    drop(remove_all(&folder));
    result
}

struct Inside<'a> {
    bench: &'a Bench<'a>,
    recipe: &'a Recipe,
    paths: &'a EnvPaths,
    tools: &'a Tools,
    digest: String,
    folder: &'a Path,
    held: &'a File,
}

impl Inside<'_> {
    async fn all_steps(&self) -> Result<Environment, EnvError> {
        let new = self.folder.join("new");
        self.bench.phase("making an empty environment");
        self.make_empty(&new).await?;
        self.bench.phase("resolving packages");
        self.install(&new).await?;
        self.write(&new.join(&self.recipe.text.launcher), self.recipe.script)?;

        self.bench.phase("testing the environment");
        self.must_be_healthy(&new).await?;
        let manifest = self.manifest(&new);
        manifest.write(&new).map_err(|error| self.bench.io("write", &new, error))?;
        if self.bench.cancel.is_cancelled() {
            return Err(self.bench.cancelled());
        }
        let environment = self.publish(&new, &manifest).await?;
        self.bench.phase("done");
        Ok(environment)
    }

    /// The installer as a program, with the variables that keep it to what we say.
    fn uv(&self, arguments: Vec<OsString>, limit: std::time::Duration) -> Result<Program, EnvError> {
        let keeps = self.held.try_clone().map_err(|error| self.bench.io("lock", self.folder, error))?;
        let mut program = Program::quick(&self.tools.uv, arguments);
        program.variables =
            vec![("UV_CACHE_DIR", self.paths.uv_cache().into()), ("UV_PYTHON_DOWNLOADS", "never".into()), ("UV_NO_PROGRESS", "1".into())];
        program.directory = self.folder.to_path_buf();
        program.keeps = Some(keeps);
        program.limit = limit;
        Ok(program)
    }

    async fn make_empty(&self, new: &Path) -> Result<(), EnvError> {
        let mut arguments: Vec<OsString> = ["venv", "--relocatable", "--no-project", "--python"].map(OsString::from).into();
        arguments.extend([self.tools.python.path.clone().into(), new.into()]);
        let output = self.bench.run("making an empty environment", self.uv(arguments, clock::VENV)?, &mut |_| {}).await?;
        self.judge("making an empty environment", &output)
    }

    async fn install(&self, new: &Path) -> Result<(), EnvError> {
        let lock = new.join("requirements.lock");
        self.write(&lock, self.recipe.lock)?;
        let mut arguments: Vec<OsString> =
            ["pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:"].map(OsString::from).into();
        arguments.extend(["--python".into(), new.join("bin").join("python").into(), "-r".into(), lock.into()]);
        let bench = self.bench;
        let mut tell = |line: &str| {
            if let Some(phase) = phase_of(line) {
                bench.phase(&phase);
            }
        };
        let output = self.bench.run("installing packages", self.uv(arguments, clock::INSTALL)?, &mut tell).await?;
        self.judge("installing packages", &output)
    }

    fn judge(&self, step: &str, output: &ProgramOutput) -> Result<(), EnvError> {
        if output.succeeded() {
            return Ok(());
        }
        Err(match classify(&output.last_lines()) {
            InstallFailure::Network { detail } => self.bench.network(detail),
            InstallFailure::DiskFull => self.bench.disk_full(&self.paths.envs_dir),
            InstallFailure::Other { detail } => self.bench.failed(step, detail),
        })
    }

    async fn must_be_healthy(&self, folder: &Path) -> Result<(), EnvError> {
        let checks = health::check(self.bench, self.recipe, folder).await?;
        health::failures(&checks).map_or(Ok(()), |detail| Err(self.bench.unhealthy(detail)))
    }

    fn manifest(&self, new: &Path) -> Manifest {
        Manifest {
            format: Manifest::FORMAT,
            key: self.bench.key.clone(),
            digest: self.digest.clone(),
            recipe_digest: self.recipe.digest.clone(),
            engine_version: self.recipe.pinned(&self.recipe.text.engine).unwrap_or("unknown").to_owned(),
            python_version: self.tools.python.full_version.clone(),
            launcher: self.recipe.text.launcher.clone(),
            created_at: Timestamp::now(),
            size_bytes: size_of(new),
        }
    }

    /// Renames the tested folder into place, tries it there, and lets `current` name it.
    async fn publish(&self, new: &Path, manifest: &Manifest) -> Result<Environment, EnvError> {
        let key = self.bench.key;
        let versions = self.paths.versions(key);
        let place = self.paths.version(key, &self.digest);
        let io = |error| self.bench.io("publish", &place, error);
        let (from, to, aside) = (new.to_path_buf(), place.clone(), self.folder.join("old"));
        blocking(move || {
            fs::create_dir_all(&versions)?;
            sync_file_system(&from)?;
            // What stands there was found broken; it goes aside, and with our folder.
            match fs::rename(&to, &aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::rename(&from, &to)?,
            }
            sync_folder(&versions)
        })
        .await
        .map_err(io)?;
        // It was tested under another name; that moving it broke nothing is shown before anyone can find it.
        if let Err(error) = self.must_be_healthy(&place).await {
            fs::rename(&place, self.folder.join("failed")).map_err(io)?;
            return Err(error);
        }
        let environment = manifest.environment(key, &place).map_err(|detail| self.bench.unhealthy(detail))?;
        self.paths.switch(key, &self.digest).map_err(io)?;
        Ok(environment)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), EnvError> {
        fs::write(path, text).map_err(|error| self.bench.io("write", path, error))
    }
}

/// Runs file work where it disturbs nobody.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Reads how far the installer is from a line of it.
fn phase_of(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(what) = line.strip_prefix("Downloading ") {
        return Some(format!("downloading {what}"));
    }
    line.starts_with("Prepared ").then(|| "installing packages".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installers_lines_become_phases() {
        for (line, phase) in [
            ("Downloading xllamacpp (32.3MiB)", Some("downloading xllamacpp (32.3MiB)")),
            ("Prepared 1 package in 400ms", Some("installing packages")),
            ("Resolved 1 package in 105ms", None),
            (" + xllamacpp==1", None),
            ("Using Python 3.11.2 environment at: t1", None),
        ] {
            assert_eq!(phase_of(line).as_deref(), phase, "{line}");
        }
    }
}

//! A home, a recorder of progress, and programs that play `python3` and `uv`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use orchestrator_core::operation::{Progress, ProgressUpdate};
use orchestrator_core::{EnvKey, Paths};
use orchestrator_providers::{EnvPaths, ProviderSettings, UvEnvironments};

/// Remembers every phase.
#[derive(Debug, Default)]
pub(crate) struct Phases(Mutex<Vec<String>>);

impl Progress for Phases {
    fn update(&self, update: ProgressUpdate) {
        self.0.lock().unwrap().push(update.phase);
    }
}

impl Phases {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A home with a search path of its own.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    bin: PathBuf,
}

/// What a fake `uv pip install` does after it said that it began.
pub(crate) const INSTALL_WELL: &str = "echo 'Resolved 1 package in 1ms' >&2; echo 'Downloading xllamacpp (32.3MiB)' >&2";

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        Self { folder, bin }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn paths(&self) -> EnvPaths {
        EnvPaths::from(&Paths::in_home(self.path()))
    }

    pub(crate) fn environments(&self) -> UvEnvironments {
        Self::environments_in(self.path())
    }

    /// The registry of a home that this process did not make.
    pub(crate) fn environments_in(home: &Path) -> UvEnvironments {
        let settings = ProviderSettings { search_path: vec![home.join("bin")], ..ProviderSettings::default() };
        UvEnvironments::new(EnvPaths::from(&Paths::in_home(home)), settings)
    }

    /// Puts a shell script on the search path.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.bin.join(name);
        let new = self.bin.join(format!(".{name}"));
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// A Python that says its version and, asked by a health test, what a good environment says.
    pub(crate) fn python(&self, version: &str) {
        self.python_that(version, "");
    }

    /// The same, with a script that runs first.
    pub(crate) fn python_that(&self, version: &str, first: &str) {
        let me = self.bin.join("python3");
        self.program(
            "python3",
            &format!(
                "{first}\ncase \"$*\" in\n\
                 *_base_executable*) echo {version}; echo {me};;\n\
                 *sys.version*) echo {version};;\n\
                 *'import xllamacpp'*) echo imported;;\n\
                 *importlib*) echo 2026.10.11549;;\n\
                 *--help*) echo '--ctx-size VALUE';;\n\
                 *) exit 1;;\nesac",
                me = me.display()
            ),
        );
    }

    /// A `uv` that makes an environment out of the fake Python and runs `install` instead of installing.
    pub(crate) fn uv(&self, install: &str) {
        let calls = self.path().join("uv-calls");
        self.program(
            "uv",
            &format!(
                "echo \"$1\" >>{calls}\ncase \"$1\" in\n\
                 --version) echo 'uv 0.13.8 (fake)';;\n\
                 venv) for last; do :; done; mkdir -p \"$last/bin\"; ln -s {python} \"$last/bin/python\";;\n\
                 pip) echo 'Using Python 3.11' >&2\n{install};;\nesac",
                calls = calls.display(),
                python = self.bin.join("python3").display()
            ),
        );
    }

    /// How many times the fake `uv` was asked to install.
    pub(crate) fn installs(&self) -> usize {
        let calls = fs::read_to_string(self.path().join("uv-calls")).unwrap_or_default();
        calls.lines().filter(|line| *line == "pip").count()
    }

    /// What lies under `.tmp`.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        names(&self.paths().envs_dir.join(".tmp"))
    }

    /// What lies under the name of the environment.
    pub(crate) fn versions(&self) -> Vec<PathBuf> {
        names(&self.paths().envs_dir.join(key().as_str()))
    }

    /// The text of the newest log.
    pub(crate) fn log(&self) -> String {
        let newest = names(&self.paths().envs_dir.join(".logs")).into_iter().max().expect("a build leaves its log");
        fs::read_to_string(newest).unwrap()
    }
}

pub(crate) fn key() -> EnvKey {
    EnvKey::try_new("llama-cpp-cpu").unwrap()
}

fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Waits for a condition.
pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

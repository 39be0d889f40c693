//! Who fetches: ours, curl, and Python's `huggingface_hub`; each into a place of its own on the same file system.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::home::BenchHome;
use super::hub::{BenchHub, FILE};
use crate::python::make_venv;
use crate::shell::{TaskResult, call, command, output, target_dir};

const HUGGINGFACE_HUB: &str = "huggingface_hub==2.4.0";

/// One of those who fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Ours,
    Curl,
    Python,
}

/// All of those who fetch.
pub(super) struct Clients<'a> {
    home: &'a BenchHome,
    endpoint: String,
    python: PathBuf,
    /// Where ours keeps what it fetches.
    cache: String,
}

impl<'a> Clients<'a> {
    pub(super) fn prepare(home: &'a BenchHome, hub: &BenchHub) -> TaskResult<Self> {
        let python = make_venv(&target_dir().join("bench-download").join("python"))?;
        call(command(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", HUGGINGFACE_HUB]))?;
        Ok(Self { home, endpoint: hub.endpoint().to_owned(), python, cache: home.path().join("ours").display().to_string() })
    }

    /// What leads our daemon to the hub, and to a cache of its own.
    pub(super) fn variables(&self) -> [(&str, &str); 3] {
        [("HF_ENDPOINT", &self.endpoint), ("HF_HOME", &self.cache), ("HF_TOKEN", "")]
    }

    /// Fetches a model; returns how long that took.
    pub(super) fn fetch(&self, client: Client, model: &str) -> TaskResult<Duration> {
        let begun = Instant::now();
        match client {
            Client::Ours => {
                self.home.orch_json(&["model", "pull", &reference(model), "--yes"])?;
                Ok(begun.elapsed())
            }
            Client::Curl => {
                let url = format!("{}/{model}/resolve/main/{FILE}", self.endpoint);
                quietly(
                    command("curl").args(["--silent", "--show-error", "--fail", "--location", "--output"]).arg(self.copy(model)).arg(url),
                )?;
                Ok(begun.elapsed())
            }
            Client::Python => {
                let took = seconds(&output(&mut self.in_python(model))?)?;
                self.forget_python()?;
                Ok(took)
            }
        }
    }

    /// Begins to fetch a model with ours.
    pub(super) fn begin_ours(&self, model: &str) -> TaskResult {
        self.home.orch_json(&["model", "pull", &reference(model), "--yes", "--no-wait"]).map(|_| ())
    }

    /// Begins to fetch a model with Python.
    pub(super) fn begin_python(&self, model: &str) -> TaskResult<Child> {
        self.in_python(model).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| format!("could not run Python: {error}"))
    }

    /// Takes the digest of curl's copy; returns how long that took.
    pub(super) fn hash(&self, model: &str) -> TaskResult<Duration> {
        let script = "import hashlib, sys, time\nbegun = time.perf_counter()\nwith open(sys.argv[1], 'rb') as file:\n    \
                      hashlib.file_digest(file, 'sha256')\nprint(time.perf_counter() - begun)";
        seconds(&output(command(&self.python).args(["-c", script]).arg(self.copy(model)))?)
    }

    /// Removes what ours and curl fetched.
    pub(super) fn forget(&self, model: &str) -> TaskResult {
        self.home.orch_json(&["model", "rm", &reference(model)])?;
        let _ = std::fs::remove_file(self.copy(model));
        Ok(())
    }

    /// Removes what Python fetched.
    pub(super) fn forget_python(&self) -> TaskResult {
        let folder = self.python_home();
        if !folder.exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(&folder).map_err(|error| format!("could not remove `{}`: {error}", folder.display()))
    }

    fn in_python(&self, model: &str) -> Command {
        // Without the time that Python takes to start.
        let script = "import sys, time\nfrom huggingface_hub import hf_hub_download\nbegun = time.perf_counter()\n\
                      hf_hub_download(sys.argv[1], sys.argv[2])\nprint(time.perf_counter() - begun)";
        let mut python = command(&self.python);
        python.args(["-c", script, model, FILE]).env("HF_ENDPOINT", &self.endpoint).env("HF_HOME", self.python_home());
        python.env_remove("HF_TOKEN").env("HF_HUB_DISABLE_PROGRESS_BARS", "1").env("HF_HUB_DISABLE_TELEMETRY", "1");
        python
    }

    fn python_home(&self) -> PathBuf {
        self.home.path().join("python")
    }

    fn copy(&self, model: &str) -> PathBuf {
        self.home.path().join(model.replace('/', "-"))
    }
}

fn reference(model: &str) -> String {
    format!("hf:{model}:{FILE}")
}

fn seconds(text: &str) -> TaskResult<Duration> {
    let seconds = text.trim().parse().map_err(|_| format!("`{text}` is no time"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("`{text}` is no time: {error}"))
}

fn quietly(command: &mut Command) -> TaskResult {
    let program = Path::new(command.get_program()).display().to_string();
    let status = command.status().map_err(|error| format!("could not run `{program}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{program}` ended with {status}")) }
}

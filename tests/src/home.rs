//! [`TestHome`]: a home of its own for one test, with the real `orch` working in it.
//!
//! Nothing that was started in it outlives it, whatever the test did.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use orchestrator_core::model::demo::{DemoModel, write_demo_model};
use serde_json::{Value, json};

use crate::behaviour::{Behaviour, FakeStats, VARIABLE};
use crate::processes::{self, Process};
use crate::{http, wait_until};

/// No command takes longer in a test.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(90);
/// Everything that happens by itself in a test happens within this.
pub const SOON: Duration = Duration::from_secs(20);

/// A home under `/tmp` (paths of Unix sockets must be short), removed at the end with all its processes.
#[derive(Debug)]
pub struct TestHome {
    /// What is let go after the last process and before the folder.
    held: Mutex<Vec<Box<dyn Any + Send>>>,
    /// What every `orch` finds in its environment, besides what it always does.
    variables: Mutex<Vec<(OsString, OsString)>>,
    folder: tempfile::TempDir,
    path: PathBuf,
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// The command line, for messages.
    pub command: String,
    /// The exit status; negative for a signal.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// The error output.
    pub stderr: String,
}

impl Default for TestHome {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHome {
    /// Makes an empty home. Its daemon listens on a free port.
    #[must_use]
    pub fn new() -> Self {
        Self::in_folder("")
    }

    /// Makes an empty home inside this one, whose `orch` finds the same variables in its environment.
    #[must_use]
    pub fn inside(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("home-").tempdir_in(&self.path).unwrap();
        let path = folder.path().to_owned();
        let variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner).clone();
        std::fs::write(path.join("config.yaml"), "gateway:\n  port: 0\n").unwrap();
        Self { held: Mutex::default(), variables: Mutex::new(variables), folder, path }
    }

    /// Makes an empty home at this path inside a folder of its own.
    #[must_use]
    pub fn in_folder(inside: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("orch-").tempdir_in("/tmp").unwrap();
        let path = folder.path().join(inside);
        std::fs::create_dir_all(&path).unwrap();
        let home = Self { held: Mutex::default(), variables: Mutex::default(), folder, path };
        std::fs::write(home.path().join("config.yaml"), "gateway:\n  port: 0\n").unwrap();
        home
    }

    /// Keeps something until every process of the home is gone.
    pub fn hold(&self, what: impl Any + Send) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(what));
    }

    /// Returns something that is kept, by its type.
    #[must_use]
    pub fn held<T: Any + Clone>(&self) -> Option<T> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find_map(|what| (**what).downcast_ref::<T>().cloned())
    }

    /// Sets a variable of the environment of every `orch` from now on, and so of the daemon that it starts.
    pub fn set_variable(&self, name: &str, value: impl AsRef<OsStr>) {
        let mut variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        variables.push((name.into(), value.as_ref().to_owned()));
    }

    /// Returns the home's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder that the home lies in and that is the test's own; for most homes the home itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a small model file that passes every check; no engine but a fake one gets sense out of it.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        let path = self.path().join("model.gguf");
        if !path.exists() {
            let shape = DemoModel { embedding_length: 32, block_count: 1, feed_forward_length: 32, ..DemoModel::default() };
            write_demo_model(&path, &shape).unwrap();
        }
        path
    }

    /// Configures an instance that is served by the fake engine.
    pub fn add(&self, name: &str, behaviour: &Behaviour) {
        self.write_config(name, &self.config(name, behaviour));
    }

    /// Returns the configuration of an instance that is served by the fake engine and restarts quickly.
    #[must_use]
    pub fn config(&self, name: &str, behaviour: &Behaviour) -> Value {
        json!({
            "name": name,
            "model": { "path": self.model() },
            "engine": { "binary": fake_engine() },
            "env": { VARIABLE: serde_json::to_string(behaviour).unwrap() },
            "healthcheck": { "interval": "200ms", "timeout": "1s", "retries": 2, "start_period": "20s" },
            "restart_policy": { "initial_delay": "100ms", "max_delay": "1s" },
            "stop": { "grace": "2s" },
        })
    }

    /// Writes the configuration of an instance.
    pub fn write_config(&self, name: &str, config: &Value) {
        self.write_config_text(name, &serde_json::to_string_pretty(config).unwrap());
    }

    /// Writes the configuration of an instance, whatever it says.
    pub fn write_config_text(&self, name: &str, text: &str) {
        let folder = self.path().join("instances").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), text).unwrap();
    }

    /// Runs `orch` with these arguments in this home.
    pub fn orch(&self, arguments: &[&str]) -> Outcome {
        run(self.command(arguments))
    }

    /// Returns `orch` with these arguments, to be run in this home with an environment that holds nothing of ours.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("orch"));
        command.args(arguments).env_clear().env("ORCH_HOME", self.path()).env("HOME", self.path());
        // The folders of the system, so that nothing of the machine's own engines is found.
        command.env("PATH", "/usr/bin:/bin").env("RUST_BACKTRACE", "0").current_dir(self.path());
        command.envs(self.variables.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        command
    }

    /// Runs `orch ... --json`, which must succeed, and returns what it printed.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        self.orch(&arguments).assert_ok().json()
    }

    /// Returns the row of `ps` for an instance.
    #[track_caller]
    #[must_use]
    pub fn row(&self, name: &str) -> Value {
        let rows = self.json(&["ps"]);
        let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no row for `{name}` in {rows}")).clone()
    }

    /// Returns the process id of an instance's server, which must run.
    #[track_caller]
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        let row = self.row(name);
        row["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_else(|| panic!("no pid in {row}"))
    }

    /// Waits until the row of an instance is as wanted.
    #[track_caller]
    pub fn wait_for_row(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        wait_until(what, SOON, || Some(self.row(name)).filter(&condition))
    }

    /// Returns the address of the daemon's port, such as `http://127.0.0.1:41000`.
    #[track_caller]
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.json(&["daemon", "start"])["endpoint"].as_str().unwrap().to_owned()
    }

    /// Returns the process id of the daemon, which must run.
    #[track_caller]
    #[must_use]
    pub fn daemon_pid(&self) -> u32 {
        let status = self.json(&["daemon", "status"]);
        u32::try_from(status["pid"].as_u64().unwrap()).unwrap()
    }

    /// Asks a fake engine how it fared.
    #[track_caller]
    #[must_use]
    pub fn stats(&self, name: &str) -> FakeStats {
        let port = self.row(name)["port"].as_u64().unwrap();
        let response = http::send(&format!("127.0.0.1:{port}"), "GET", "/fake/stats", b"").unwrap();
        serde_json::from_value(response.json()).unwrap()
    }

    /// Finds everything that runs for this home.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        processes::carrying(self.folder())
    }

    /// Returns what the daemon wrote to its log.
    #[must_use]
    pub fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.path().join("logs/daemon.log")).unwrap_or_default()
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "it explains the failed test")]
            {
                eprintln!("--- the daemon's log\n{}---", self.daemon_log());
            }
        }
        // More than once: whoever is killed last may have started another.
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for process in left {
                processes::kill(process.pid);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it takes longer than [`COMMAND_LIMIT`].
#[must_use]
pub fn run(mut command: Command) -> Outcome {
    let text = std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    // Files, not pipes: a daemon that the command starts must not keep us waiting for the end of its output.
    let mut outputs = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let [stdout, stderr] = outputs.each_ref().map(|file| Stdio::from(file.try_clone().unwrap()));
    let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
    let deadline = Instant::now() + COMMAND_LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            let [stdout, stderr] = outputs.each_mut().map(read_all);
            panic!("`{text}` did not end within {COMMAND_LIMIT:?}\n{stdout}\n{stderr}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] = outputs.each_mut().map(read_all);
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default();
    Outcome { command: text, status: status.code().unwrap_or(-signal), stdout, stderr }
}

fn read_all(file: &mut std::fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Outcome {
    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn assert_ok(self) -> Self {
        assert_eq!(self.status, 0, "{self:#?}");
        self
    }

    /// Fails the test unless the command failed with this status and its error output has all these words.
    #[track_caller]
    pub fn assert_fails(self, status: u8, words: &[&str]) -> Self {
        assert_eq!(self.status, i32::from(status), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing in {self:#?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Returns standard output as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Returns the fake engine's program.
#[must_use]
pub fn fake_engine() -> PathBuf {
    program("fake-llama-server")
}

/// Finds a program of this workspace beside the one that runs, or above the folder of the test that runs.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let beside = own.parent().unwrap().join(name);
    let program = if beside.exists() { beside } else { own.parent().and_then(Path::parent).unwrap().join(name) };
    assert!(program.exists(), "`{}` is missing: run `cargo build --workspace --bins` first", program.display());
    program
}

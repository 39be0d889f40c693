//! A home of its own for a measurement, and the daemon in it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::shell::{TaskResult, target_dir};

/// How long anything in a measurement may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// An empty home, removed at the end.
pub(crate) struct BenchHome {
    path: PathBuf,
}

impl BenchHome {
    pub(crate) fn new() -> TaskResult<Self> {
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let path = std::env::temp_dir().join(format!("orch-bench-{}-{unique}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("could not create `{}`: {error}", path.display()))?;
        let home = Self { path };
        home.configure("gateway:\n  port: 0\n")?;
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a call of `orch` in this home.
    pub(crate) fn orch(&self, arguments: &[&str]) -> Command {
        let mut orch = Command::new(target_dir().join("release").join("orch"));
        orch.args(arguments).env("ORCH_HOME", &self.path).env("HOME", &self.path).stdin(Stdio::null());
        orch
    }

    /// Calls `orch` and returns the JSON it prints.
    pub(crate) fn orch_json(&self, arguments: &[&str]) -> TaskResult<serde_json::Value> {
        let output = self.orch(arguments).arg("--json").output().map_err(|error| format!("could not run orch: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "`orch {}` ended with {}: {}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("`orch {}` printed no JSON: {error}", arguments.join(" ")))
    }

    /// Writes the daemon's configuration.
    pub(crate) fn configure(&self, text: &str) -> TaskResult {
        self.write("config.yaml", text)
    }

    /// Configures an instance.
    pub(crate) fn add(&self, name: &str, config: &serde_json::Value) -> TaskResult {
        self.write(&format!("instances/{name}/config.json"), &config.to_string())
    }

    /// Writes a file in this home.
    pub(crate) fn write(&self, name: &str, text: &str) -> TaskResult {
        let path = self.path.join(name);
        let folder = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("could not write `{}`: {error}", path.display()))
    }

    /// Starts the daemon in the foreground.
    pub(crate) fn serve(&self) -> TaskResult<BenchDaemon> {
        self.serve_with(&[])
    }

    /// Starts the daemon in the foreground with these variables.
    pub(crate) fn serve_with(&self, variables: &[(&str, &str)]) -> TaskResult<BenchDaemon> {
        let begun = Instant::now();
        let child = self.orch(&["serve"]).envs(variables.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("could not start the daemon: {error}"))?;
        Ok(BenchDaemon { child, begun, socket: self.path.join("state").join("daemon.sock") })
    }

    /// Returns where the gateway of the running daemon listens, as `HOST:PORT`.
    pub(crate) fn address(&self) -> TaskResult<String> {
        let status = self.orch_json(&["daemon", "status"])?;
        Ok(status["endpoint"].as_str().unwrap_or_default().trim_start_matches("http://").trim_end_matches('/').to_owned())
    }

    /// Returns the row of `ps` of an instance.
    pub(crate) fn row(&self, name: &str) -> TaskResult<serde_json::Value> {
        let rows = self.orch_json(&["ps"])?;
        let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == name));
        row.cloned().ok_or_else(|| format!("there is no instance `{name}`"))
    }
}

impl Drop for BenchHome {
    fn drop(&mut self) {
        // Whatever was started in this home ends with it, also what a killed daemon left running.
        let _ = self.orch(&["daemon", "start", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = self.orch(&["daemon", "stop", "--all", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A daemon in the foreground.
pub(crate) struct BenchDaemon {
    child: Child,
    begun: Instant,
    socket: PathBuf,
}

impl BenchDaemon {
    /// Waits for the first answer; returns how long after its start that came.
    pub(crate) fn ready_after(&mut self) -> TaskResult<Duration> {
        while self.begun.elapsed() < DEADLINE {
            if let Ok(mut stream) = UnixStream::connect(&self.socket)
                && stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").is_ok()
            {
                let mut answer = [0; 15];
                if stream.read_exact(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200") {
                    return Ok(self.begun.elapsed());
                }
            }
            // Often enough to be exact, seldom enough to leave it the processor.
            std::thread::sleep(Duration::from_micros(100));
        }
        Err("the daemon gave no answer in time".to_owned())
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it.
    pub(crate) fn stop(mut self) -> TaskResult {
        self.child.kill().and_then(|()| self.child.wait()).map(|_| ()).map_err(|error| format!("could not end the daemon: {error}"))
    }
}

impl Drop for BenchDaemon {
    fn drop(&mut self) {
        // Its home is about to go. Servers that it started are ended there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The real `llama-server`, from Debian testing's package `llama.cpp-tools`: fetched and unpacked under
//! `target/bench-llama` with the libraries it needs, beside the system and not in it.
//!
//! The program is started through its own loader. llama.cpp's router starts itself again by the path it was started
//! by, so the loader's path is written into a copy of the program, where there is room for a short one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::http;
use crate::shell::{TaskResult, call, command, target_dir};

const PACKAGES: [&str; 8] = ["llama.cpp-tools", "libllama0", "libggml0", "libc6", "libgcc-s1", "libstdc++6", "libssl3t64", "libgomp1"];
const SOURCE: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian testing main\n";
const NEEDS: &str = "the real llama-server comes from Debian testing: this needs `apt-get`, `dpkg` and a way to a Debian mirror";
/// Where the program looks for its loader; a shorter path fits in its place.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const DEADLINE: Duration = Duration::from_mins(1);

/// The program, ready to be started. Its folder goes with this value.
pub(crate) struct Llama {
    folder: PathBuf,
    variables: [(&'static str, String); 2],
}

impl Llama {
    /// Fetches what is not there yet.
    pub(crate) fn prepare() -> TaskResult<Self> {
        let root = unpacked()?;
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        // A short path; see `LOADER`.
        let folder = PathBuf::from(format!("/tmp/ob-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("could not lay out llama-server in `{}`: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let loader = folder.join("ld.so");
        let mut program = fs::read(root.join("usr/bin/llama-server")).map_err(failed)?;
        let place = program.windows(LOADER.len()).position(|window| window == LOADER.as_bytes());
        let place = place.ok_or("llama-server does not name the loader that it was expected to name")?;
        let mut path = loader.to_string_lossy().into_owned().into_bytes();
        path.resize(LOADER.len(), 0);
        program[place..place + LOADER.len()].copy_from_slice(&path);
        fs::write(folder.join("llama-server"), program).map_err(failed)?;
        make_executable(&folder.join("llama-server")).map_err(failed)?;
        std::os::unix::fs::symlink(libraries.join("ld-linux-x86-64.so.2"), loader).map_err(failed)?;
        let is_modern = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" avx2 "));
        let backend = if is_modern { "libggml-cpu-haswell.so" } else { "libggml-cpu-x64.so" };
        let variables = [
            ("LD_LIBRARY_PATH", format!("{0}:{0}/llama", libraries.display())),
            ("GGML_BACKEND_PATH", libraries.join("ggml/backends0").join(backend).to_string_lossy().into_owned()),
        ];
        Ok(Self { folder, variables })
    }

    /// Returns the path of the program.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("llama-server")
    }

    /// Returns the variables that it needs.
    pub(crate) fn variables(&self) -> serde_json::Value {
        self.variables.iter().map(|(name, value)| ((*name).to_owned(), serde_json::json!(value))).collect::<serde_json::Map<_, _>>().into()
    }

    /// Begins a call of it.
    pub(crate) fn command(&self, port: u16) -> Command {
        let mut command = Command::new(self.program());
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]).envs(self.variables.iter().cloned());
        command
    }

    /// Starts it by hand, and waits until it is ready.
    pub(crate) fn start(&self, port: u16, arguments: &[&str]) -> TaskResult<RunningLlama> {
        let mut command = self.command(port);
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("could not start llama-server: {error}"))?;
        let running = RunningLlama { child, address: format!("127.0.0.1:{port}") };
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if http::status(&running.address, "/health") == Some(200) {
                return Ok(running);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Err("llama-server was not ready in time".to_owned())
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A server that was started by hand.
pub(crate) struct RunningLlama {
    child: Child,
    pub(crate) address: String,
}

impl RunningLlama {
    /// Ends it as we end servers, and waits for its end.
    pub(crate) fn stop(mut self) -> TaskResult {
        self.terminate();
        self.child.wait().map(|_| ()).map_err(|error| format!("could not wait for llama-server: {error}"))
    }

    fn terminate(&self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
    }
}

impl Drop for RunningLlama {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            let _ = self.child.wait();
        }
    }
}

/// Returns the folder with the unpacked packages.
fn unpacked() -> TaskResult<PathBuf> {
    let folder = target_dir().join("bench-llama");
    let root = folder.join("root");
    if root.join("usr/bin/llama-server").exists() {
        return Ok(root);
    }
    let debs = folder.join("debs");
    for part in ["state/lists/partial", "cache/archives/partial", "debs", "root"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).map_err(|error| format!("could not make `{}`: {error}", part.display()))?;
    }
    let list = folder.join("sources.list");
    fs::write(&list, SOURCE).map_err(|error| format!("could not write `{}`: {error}", list.display()))?;
    call(apt(&folder).arg("update")).map_err(|error| format!("{NEEDS}: {error}"))?;
    call(apt(&folder).arg("download").args(PACKAGES).current_dir(&debs)).map_err(|error| format!("{NEEDS}: {error}"))?;
    for file in fs::read_dir(&debs).map_err(|error| format!("could not list `{}`: {error}", debs.display()))? {
        let file = file.map_err(|error| error.to_string())?.path();
        call(command("dpkg").arg("-x").arg(file).arg(&root)).map_err(|error| format!("{NEEDS}: {error}"))?;
    }
    Ok(root)
}

/// Begins a call of apt-get that knows nothing of the machine's own packages and changes nothing of them.
fn apt(folder: &Path) -> Command {
    let mut apt = command("apt-get");
    let set = |name: &str, path: &str| format!("{name}={}", folder.join(path).display());
    for setting in [set("Dir::State", "state"), set("Dir::Cache", "cache"), set("Dir::Etc::sourcelist", "sources.list")] {
        apt.args(["-o", &setting]);
    }
    apt.args(["-qq", "-o", "Dir::State::status=/dev/null", "-o", "Dir::Etc::sourceparts=/dev/null", "-o", "Acquire::Languages=none"]);
    apt
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

//! The Python part of `cargo xtask test`: builds the wheel, installs it into a folder of its own, tests it there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{TaskResult, answers, call, command, root, target_dir};

/// What building and testing the wheel needs, exactly.
const TOOLS: &[&str] = &["maturin==1.16.0", "pytest==9.2.0", "mypy==2.4.1", "jsonschema==4.26.0"];

fn run_python(python: &Path, arguments: &[&str]) -> TaskResult {
    call(command(python).args(arguments))
}

pub(crate) fn run() -> TaskResult {
    let venv = target_dir().join("python");
    let python = make_venv(&venv)?;
    run_python(&python, &[&["-m", "pip", "install", "--quiet", "--disable-pip-version-check"], TOOLS].concat())?;
    let wheels = target_dir().join("wheels");
    if wheels.exists() {
        fs::remove_dir_all(&wheels).map_err(|error| format!("could not empty `{}`: {error}", wheels.display()))?;
    }
    let wheels_text = wheels.to_string_lossy().into_owned();
    let build = [
        "-m",
        "maturin",
        "build",
        "--profile",
        "wheel",
        "--locked",
        "--manifest-path",
        "orchestrator-py/Cargo.toml",
        "--out",
        &wheels_text,
    ];
    // Maturin wants to know the interpreter it builds for; an abi3 wheel serves all later ones.
    call(command(&python).args(build).args(["--interpreter", &python.to_string_lossy()]).env("VIRTUAL_ENV", &venv))?;
    let wheel = only_file_in(&wheels)?;
    run_python(&python, &["-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", &wheel.to_string_lossy()])?;
    let orch = target_dir().join("debug").join("orch");
    call(command(&python).args(["-m", "pytest", "-q", "orchestrator-py/tests"]).env("ORCH_TEST_BINARY", orch))?;
    // Outside the source tree, so that the installed stubs are compared with the installed module.
    call(command(&python).args(["-m", "mypy.stubtest", "orchestrator", "--concise"]).current_dir(&wheels))
}

/// Makes a virtual environment, with whatever of `venv`, `uv` and `virtualenv` this machine has.
fn make_venv(venv: &Path) -> TaskResult<PathBuf> {
    let python = venv.join("bin").join("python");
    if answers(command(&python).args(["-m", "pip", "--version"])) {
        return Ok(python);
    }
    let path = venv.to_string_lossy().into_owned();
    let ways: [&[&str]; 3] = [&["python3", "-m", "venv", &path], &["uv", "venv", "--seed", &path], &["python3", "-m", "virtualenv", &path]];
    for way in ways {
        let made = Command::new(way[0]).args(&way[1..]).current_dir(root()).status().is_ok_and(|status| status.success());
        if made && answers(command(&python).args(["-m", "pip", "--version"])) {
            return Ok(python);
        }
    }
    Err("no virtual environment could be made: install Python ≥ 3.10 with `venv` (Debian: `apt install python3-venv`)".to_owned())
}

fn only_file_in(folder: &Path) -> TaskResult<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| format!("could not read `{}`: {error}", folder.display()))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    match files.as_slice() {
        [wheel] => Ok(wheel.clone()),
        _ => Err(format!("one wheel was expected in `{}`, and there are {}", folder.display(), files.len())),
    }
}

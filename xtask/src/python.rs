//! The Python part of `cargo xtask test`: builds the wheel, installs it into a folder of its own, tests it there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{TaskResult, answers, call, cargo, command, output, root, target_dir};

/// What building and testing the wheel needs, exactly.
const TOOLS: &[&str] =
    &["maturin==1.16.0", "pytest==9.2.0", "mypy==2.4.1", "jsonschema==4.26.0", "openai==3.54.0", "huggingface_hub==2.4.0"];

/// Ends well in a Python that is new enough.
const IS_NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 10))";

fn run_python(python: &Path, arguments: &[&str]) -> TaskResult {
    call(command(python).args(arguments))
}

pub(crate) fn run() -> TaskResult {
    let venv = target_dir().join("python");
    let python = make_venv(&venv)?;
    run_python(&python, &[&["-m", "pip", "install", "--quiet", "--disable-pip-version-check"], TOOLS].concat())?;
    let wheels = target_dir().join("wheels");
    let wheel = build_wheel(&python, &venv, &wheels)?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall", "--no-deps"];
    call(command(&python).args(install).arg(&wheel))?;
    // Some of the tests talk to a daemon, some to a hub.
    call(&mut cargo(&["build", "--quiet", "--locked", "--bin", "orch"]))?;
    call(&mut cargo(&["build", "--quiet", "--locked", "--package", "orchestrator-tests", "--bin", "fake-hub"]))?;
    let [orch, hub] = ["orch", "fake-hub"].map(|name| target_dir().join("debug").join(name));
    let pytest = ["-B", "-m", "pytest", "--quiet", "orchestrator-py/tests"];
    // The real engine is built once, for these tests and those in Rust.
    let engine_home = target_dir().join("tmp").join("engine-home");
    let mut tests = command(&python);
    tests.args(pytest).env("ORCH_TEST_BINARY", orch).env("ORCH_TEST_HUB", hub).env("ORCH_TEST_ENGINE_HOME", engine_home);
    call(tests.env("PYTHONDONTWRITEBYTECODE", "1"))?;
    // Outside the source tree, so that the installed stubs are compared with the installed module.
    call(command(&python).args(["-m", "mypy.stubtest", "orchestrator", "--concise"]).current_dir(&wheels))?;
    let settings = root().join("orchestrator-py").join("pyproject.toml");
    let sources = ["orchestrator-py/tests", "examples/python"].map(|folder| root().join(folder));
    let mut check = command(&python);
    check.args(["-m", "mypy", "--no-error-summary", "--config-file"]).arg(settings).args(sources).current_dir(&wheels);
    call(&mut check)
}

/// Builds the wheel into a folder that holds nothing else.
fn build_wheel(python: &Path, venv: &Path, wheels: &Path) -> TaskResult<PathBuf> {
    if wheels.exists() {
        fs::remove_dir_all(wheels).map_err(|error| format!("could not empty `{}`: {error}", wheels.display()))?;
    }
    let build = ["-m", "maturin", "build", "--quiet", "--profile", "dev", "--locked", "--manifest-path", "orchestrator-py/Cargo.toml"];
    // Maturin wants to know the interpreter it builds for; the wheel serves that version and all later ones.
    call(command(python).args(build).arg("--out").arg(wheels).arg("--interpreter").arg(python).env("VIRTUAL_ENV", venv))?;
    only_file_in(wheels)
}

/// Makes a virtual environment, with whatever this machine has for it.
pub(crate) fn make_venv(venv: &Path) -> TaskResult<PathBuf> {
    let python = venv.join("bin").join("python");
    let works = || answers(command(&python).args(["-c", IS_NEW_ENOUGH])) && answers(command(&python).args(["-m", "pip", "--version"]));
    if works() {
        return Ok(python);
    }
    if !answers(command("python3").args(["-c", IS_NEW_ENOUGH])) {
        return Err("the Python module needs `python3` of version 3.10 or newer (Debian: `apt install python3 python3-venv`)".to_owned());
    }
    // `venv` may lack the pip it puts inside: Debian has that in a package of its own.
    let ways: [fn(&Path) -> bool; 4] = [
        |venv| answers(command("python3").args(["-m", "venv"]).arg(venv)),
        |venv| answers(command("uv").args(["venv", "--seed", "--python", "python3"]).arg(venv)),
        |venv| answers(command("python3").args(["-m", "virtualenv"]).arg(venv)),
        with_the_systems_pip,
    ];
    for way in ways {
        if venv.exists() {
            fs::remove_dir_all(venv).map_err(|error| format!("could not remove `{}`: {error}", venv.display()))?;
        }
        if way(venv) && works() {
            return Ok(python);
        }
    }
    Err("no virtual environment could be made: Python has neither `venv` nor `pip` (Debian: `apt install python3-venv`)".to_owned())
}

/// Makes an environment without pip, and has the system's pip put one inside.
fn with_the_systems_pip(venv: &Path) -> bool {
    if !answers(command("python3").args(["-m", "venv", "--without-pip"]).arg(venv)) {
        return false;
    }
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let Ok(packages) = output(command(venv.join("bin").join("python")).args(["-c", ask])) else { return false };
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", packages.trim(), "pip"];
    answers(command("python3").args(install))
}

fn only_file_in(folder: &Path) -> TaskResult<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| format!("could not read `{}`: {error}", folder.display()))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    match files.as_slice() {
        [wheel] => Ok(wheel.clone()),
        _ => Err(format!("one wheel was expected in `{}`, and there are {}", folder.display(), files.len())),
    }
}

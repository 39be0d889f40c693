//! The places in which the others live, all under `target/bench-toolcall`: never among our dependencies.

use std::fs;
use std::path::{Path, PathBuf};

use super::driver::Driver;
use crate::python::make_venv;
use crate::shell::{TaskResult, call, cargo, command, root, target_dir};

const JSON_REPAIR: &str = "json_repair==0.64.5";
const JSONREPAIR_NODE: &str = "jsonrepair@3.15.0";
const JSONREPAIR_RS: &str = "=0.2.6";

/// The corpus and everybody who reads it, ours first.
pub(super) struct Environment {
    pub(super) corpus: PathBuf,
    pub(super) drivers: Vec<Driver>,
}

impl Environment {
    /// Fetches and builds what is not there yet, and writes a new corpus.
    pub(super) fn prepare(seed: u64) -> TaskResult<Self> {
        let folder = target_dir().join("bench-toolcall");
        let sources = root().join("xtask/src/bench/toolcall/drivers");
        let corpus = folder.join("corpus");
        make_folder(&corpus)?;
        let binaries = build_rust(&folder.join("rust"), &sources)?;
        let python = make_venv(&folder.join("python"))?;
        call(command(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", JSON_REPAIR]))?;
        let node = folder.join("node");
        make_folder(&node)?;
        call(command("npm").args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&node).arg(JSONREPAIR_NODE))?;
        call(command(binaries.join("corpus")).arg(&corpus).arg(seed.to_string()))?;
        let drivers = vec![
            Driver::new("ours", binaries.join("ours"), vec![corpus.clone()]),
            Driver::new("json_repair", python, vec![sources.join("peer.py"), corpus.clone()]),
            Driver::new("jsonrepair (Node)", "node".into(), vec![sources.join("peer.mjs"), corpus.clone(), node]),
            Driver::new("jsonrepair-rs", binaries.join("jsonrepair_rs"), vec![corpus.clone()]),
        ];
        Ok(Self { corpus, drivers })
    }
}

/// Builds the drivers in Rust as a project of their own, optimised as our releases are.
fn build_rust(project: &Path, sources: &Path) -> TaskResult<PathBuf> {
    make_folder(project)?;
    let bin = |name: &str| format!("[[bin]]\nname = \"{name}\"\npath = '{}'\n", sources.join(format!("{name}.rs")).display());
    let bins = ["corpus", "ours", "jsonrepair_rs"].map(bin).concat();
    let manifest = format!(
        "[workspace]\n[package]\nname = \"bench-toolcall\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\norchestrator-toolcall = {{ path = '{}' }}\njsonrepair-rs = \"{JSONREPAIR_RS}\"\n\
         rustix = {{ version = \"1.1\", features = [\"time\"] }}\nserde_json = {{ version = \"1\", features = [\"preserve_order\"] }}\n\
         [profile.release]\nlto = \"thin\"\ncodegen-units = 4\n{bins}",
        root().join("orchestrator-toolcall").display()
    );
    // Written only when it changes, so that nothing is built again for nothing.
    let file = project.join("Cargo.toml");
    if fs::read_to_string(&file).ok().as_deref() != Some(&manifest) {
        fs::write(&file, manifest).map_err(|error| format!("could not write `{}`: {error}", file.display()))?;
    }
    // The versions that our releases have.
    if !project.join("Cargo.lock").exists() {
        fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).map_err(|error| format!("could not copy Cargo.lock: {error}"))?;
    }
    call(cargo(&["build", "--release", "--quiet", "--manifest-path"]).arg(&file).env("CARGO_TARGET_DIR", project.join("target")))?;
    Ok(project.join("target").join("release"))
}

fn make_folder(folder: &Path) -> TaskResult {
    fs::create_dir_all(folder).map_err(|error| format!("could not make `{}`: {error}", folder.display()))
}

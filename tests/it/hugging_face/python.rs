//! One cache for two: what Python's `huggingface_hub` downloads is found here, and what is pulled here is found there.

use std::path::{Path, PathBuf};
use std::process::Command;

use orchestrator_core::provider::Provider;
use serde_json::{Value, json};

use super::{Rig, quantised, snapshot};

/// The package from `PyPI`, with the version that is known to work.
const PACKAGE: &str = "huggingface_hub==2.4.0";

/// Returns a Python that has the package. It is installed once, below the build folder, so that a second run is quick.
fn python() -> PathBuf {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("huggingface-hub");
    std::fs::create_dir_all(&shared).unwrap();
    // Tests run in processes of their own.
    let lock = std::fs::File::create(shared.join("tests.lock")).unwrap();
    lock.lock().unwrap();
    let (venv, done) = (shared.join("venv"), shared.join("done"));
    if std::fs::read_to_string(&done).ok().as_deref() != Some(PACKAGE) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        run(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]));
        std::fs::write(&done, PACKAGE).unwrap();
    }
    venv.join("bin/python")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program that uses `huggingface_hub` with the hub and the cache of the rig, and returns what it tells as `told`.
fn ask(rig: &Rig, script: &str) -> Value {
    let program = format!("import json\nfrom huggingface_hub import *\n{script}\nprint(json.dumps(told))");
    let mut command = Command::new(python());
    command.args(["-c", &program]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", rig.folder.path()).env("HF_HUB_CACHE", rig.cache()).env("HF_ENDPOINT", rig.hub.huggingface());
    command.env("HF_HUB_DISABLE_PROGRESS_BARS", "1").env("HF_HUB_DISABLE_TELEMETRY", "1").env("HF_TOKEN", "");
    serde_json::from_str(&run(&mut command)).unwrap()
}

const SCAN: &str = r#"
info = scan_cache_dir()
told = {
    "warnings": [str(warning) for warning in info.warnings],
    "repos": sorted([repo.repo_id, repo.nb_files, sorted(ref for revision in repo.revisions for ref in revision.refs)] for repo in info.repos),
}
"#;

#[tokio::test]
async fn what_is_pulled_here_is_found_by_python() {
    let rig = Rig::new([quantised(), snapshot()]);
    let gguf = rig.pull("hf:maker/model-GGUF").await.unwrap();
    let folder = rig.pull("hf:maker/model").await.unwrap();
    let asked = rig.hub.seen().len();
    let told = ask(&rig, r#"told = hf_hub_download("maker/model-GGUF", "model-Q4_K_M.gguf", local_files_only=True)"#);
    assert_eq!(told, json!(gguf.path));
    let told = ask(&rig, r#"told = snapshot_download("maker/model", local_files_only=True)"#);
    assert_eq!(told, json!(folder.path));
    let told = ask(&rig, SCAN);
    assert_eq!(told, json!({ "warnings": [], "repos": [["maker/model", 6, ["main"]], ["maker/model-GGUF", 3, ["main"]]] }));
    // It may ask for other things, such as `/api/agent-harnesses`.
    let since: Vec<_> = rig.hub.seen().into_iter().skip(asked).map(|seen| seen.path).filter(|path| path.contains("maker")).collect();
    assert_eq!(since, Vec::<String>::new(), "Python asks nothing for what is here");

    // With the network Python asks for the newest state, and fetches nothing.
    let sent = rig.hub.bytes_sent("");
    ask(&rig, r#"told = hf_hub_download("maker/model-GGUF", "model-Q4_K_M.gguf")"#);
    assert_eq!(rig.hub.bytes_sent(""), sent);

    rig.provider.remove(&gguf).await.unwrap();
    assert_eq!(ask(&rig, SCAN), json!({ "warnings": [], "repos": [["maker/model", 6, ["main"]]] }));
}

#[tokio::test]
async fn what_python_downloads_is_found_here_and_not_fetched_again() {
    let rig = Rig::new([quantised(), snapshot()]);
    let path = ask(&rig, r#"told = hf_hub_download("maker/model-GGUF", "model-Q4_K_M.gguf")"#);
    let model = rig.locate("hf:maker/model-GGUF:Q4_K_M").await.unwrap();
    assert_eq!(json!(model.path), path);
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    assert_eq!(plan.files[0].present_bytes, plan.files[0].size_bytes.unwrap());
    let sent = rig.hub.bytes_sent("model-Q4_K_M");
    rig.fetch(&plan).await.unwrap();
    assert_eq!(rig.hub.bytes_sent("model-Q4_K_M"), sent, "only the projector and the card were missing");

    let folder = ask(&rig, r#"told = snapshot_download("maker/model")"#);
    let model = rig.locate("hf:maker/model").await.unwrap();
    assert_eq!(json!(model.path), folder);
    let names: Vec<_> = rig.provider.installed().await.unwrap().iter().map(|model| model.reference.to_string()).collect();
    assert_eq!(names, ["hf:maker/model", "hf:maker/model-GGUF:Q4_K_M"]);
    assert_eq!(rig.resolve("hf:maker/model").await.unwrap().missing_bytes(), 0);
    assert_eq!(ask(&rig, SCAN)["warnings"], json!([]));
}

#[tokio::test]
async fn files_of_python_without_links_are_found_as_well() {
    let rig = Rig::new([quantised()]);
    let script = r#"
from huggingface_hub import file_download
file_download.are_symlinks_supported = lambda *_, **__: False
told = hf_hub_download("maker/model-GGUF", "model-Q4_K_M.gguf")
"#;
    let path = ask(&rig, script);
    let path = PathBuf::from(path.as_str().unwrap());
    assert!(std::fs::symlink_metadata(&path).unwrap().is_file(), "no link");
    let model = rig.locate("hf:maker/model-GGUF").await.unwrap();
    assert_eq!(model.path, path);
    let plan = rig.resolve("hf:maker/model-GGUF").await.unwrap();
    assert_eq!(plan.files[0].present_bytes, plan.files[0].size_bytes.unwrap());
    let sent = rig.hub.bytes_sent("model-Q4_K_M");
    let pulled = rig.fetch(&plan).await.unwrap();
    assert_eq!((pulled.path, rig.hub.bytes_sent("model-Q4_K_M")), (path, sent));
}

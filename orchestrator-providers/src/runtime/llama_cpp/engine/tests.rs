#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use orchestrator_core::Paths;
use orchestrator_core::error::{Coded, ErrorCode};

use super::*;
use crate::env::UvEnvironments;

struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    async fn find(&self, config: serde_json::Value) -> Result<Engine, RuntimeError> {
        let mut whole = serde_json::json!({ "name": "demo", "model": { "ref": "file:/m.gguf" } });
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let spec: InstanceSpec = serde_json::from_value(whole).unwrap();
        let folder = self.folder.path();
        let search_path = vec![PathBuf::from("relative"), folder.join("nothing"), folder.join("a"), folder.join("b")];
        let settings = ProviderSettings { search_path, ..ProviderSettings::default() };
        let environments = UvEnvironments::in_home(&Paths::in_home(folder), settings.clone());
        find(&settings, &spec, &environments).await
    }

    async fn refuses(&self, config: serde_json::Value, code: ErrorCode, words: &str) {
        let error = self.find(config.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{config} {error:?}");
        let whole = format!("{error} {}", error.hint().unwrap());
        assert!(whole.contains(words), "`{words}` is not in `{whole}`");
    }
}

#[tokio::test]
async fn the_configured_program_is_used_and_nothing_else_is_looked_for() {
    let machine = Machine::new();
    machine.file("a/llama-server", 0o755);
    let mine = machine.file("mine", 0o755);
    assert_eq!(machine.find(serde_json::json!({ "engine": { "binary": mine } })).await.unwrap(), Engine::Binary { path: mine });
}

#[tokio::test]
async fn a_configured_program_that_cannot_be_run_is_refused() {
    let machine = Machine::new();
    let folder = machine.folder.path();
    let plain = machine.file("plain", 0o644);
    let with = |path: PathBuf| serde_json::json!({ "engine": { "binary": path } });
    machine.refuses(with(folder.join("gone")), ErrorCode::EngineNotFound, "which does not exist").await;
    machine.refuses(with(folder.to_path_buf()), ErrorCode::EngineUnusable, "it is a directory").await;
    machine.refuses(with(plain.clone()), ErrorCode::EngineUnusable, "it is not executable").await;
    machine.refuses(with(PathBuf::from("/dev/null")), ErrorCode::EngineUnusable, "it is not a regular file").await;
    machine.refuses(with(plain.join("x")), ErrorCode::EngineUnusable, "Not a directory").await;
}

#[tokio::test]
async fn the_search_path_is_looked_through_in_its_order_for_what_can_be_run() {
    let machine = Machine::new();
    machine.file("a/llama-server", 0o644);
    let good = machine.file("b/llama-server", 0o755);
    for config in [serde_json::json!({}), serde_json::json!({ "gpu": { "backend": "cuda" } })] {
        assert_eq!(machine.find(config).await.unwrap(), Engine::Binary { path: good.clone() });
    }
}

#[tokio::test]
async fn a_configured_environment_comes_before_the_search_path() {
    let machine = Machine::new();
    machine.file("a/llama-server", 0o755);
    let config = serde_json::json!({ "env_key": "llama-cpp-cpu" });
    machine.refuses(config, ErrorCode::EnvNotInstalled, "orch env create llama-cpp-cpu").await;
    machine.refuses(serde_json::json!({ "env_key": "nothing" }), ErrorCode::EnvUnknown, "the recipes are").await;
}

#[tokio::test]
async fn without_any_engine_the_error_says_what_to_do() {
    let machine = Machine::new();
    machine.refuses(serde_json::json!({}), ErrorCode::EngineNotFound, "orch env create llama-cpp-cpu").await;
    let gpu = serde_json::json!({ "gpu": { "backend": "vulkan" } });
    machine.refuses(gpu, ErrorCode::EngineNotFound, "install a `llama-server` that was built for vulkan").await;
}

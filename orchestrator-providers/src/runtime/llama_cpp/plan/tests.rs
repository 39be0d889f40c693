#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;

use orchestrator_core::EnvKey;
use orchestrator_core::env::Environment;
use orchestrator_core::error::{Coded, ErrorCode};
use orchestrator_core::event::Timestamp;
use orchestrator_core::model::{ModelDefaults, ModelReference};
use serde_json::{Value, json};

use super::*;

fn binary() -> Engine {
    Engine::Binary { path: PathBuf::from("/usr/bin/llama-server") }
}

fn environment() -> Engine {
    let path = PathBuf::from("/home/envs/llama-cpp-cpu/0123456789abcdef");
    Engine::Environment(Environment {
        key: EnvKey::try_new(CPU_ENVIRONMENT).unwrap(),
        digest: "0123456789abcdef".to_owned(),
        python: path.join("bin/python"),
        launcher: path.join("llama_cpp_server.py"),
        path,
        engine_version: "1".to_owned(),
        created_at: Timestamp::from_millis(0).unwrap(),
        size_bytes: 1,
    })
}

fn model(format: ModelFormat) -> InstalledModel {
    InstalledModel {
        reference: ModelReference::try_file("/models/demo.gguf").unwrap(),
        path: PathBuf::from("/models/demo.gguf"),
        format,
        name: None,
        architecture: "llama".to_owned(),
        quantisation: None,
        context_length: None,
        parameters: 1,
        size_bytes: 1,
        has_chat_template: true,
        files: Vec::new(),
        revision: None,
        licence: None,
        projector: None,
        defaults: ModelDefaults::default(),
    }
}

fn plan_of(config: &Value, engine: &Engine, listen: &str) -> Result<LaunchPlan, RuntimeError> {
    let mut whole = json!({ "name": "demo", "model": { "ref": "file:/models/demo.gguf" } });
    for (name, value) in config.as_object().unwrap() {
        match (whole.get_mut(name).and_then(Value::as_object_mut), value) {
            (Some(there), Value::Object(more)) => there.extend(more.clone()),
            _ => drop(whole.as_object_mut().unwrap().insert(name.clone(), value.clone())),
        }
    }
    let spec: InstanceSpec = serde_json::from_value(whole).unwrap();
    plan(&PlanRequest { spec: &spec, model: &model(ModelFormat::Gguf), engine, listen: listen.parse().unwrap() })
}

/// Shows the command line and the variables, one option a line.
fn shown(config: &Value, engine: &Engine, listen: &str) -> String {
    let plan = plan_of(config, engine, listen).unwrap();
    let mut text = plan.program.display().to_string();
    for argument in &plan.arguments {
        text += if argument.starts_with('-') { "\n  " } else { " " };
        text += argument;
    }
    let variables: String = plan.variables.iter().flat_map(|(name, value)| ["\n", name, "=", value]).collect();
    let removed = plan.removed_prefixes.join(" ");
    format!("{text}{variables}\nnot inherited: {removed}*\nhealth: {} {}", plan.listen, plan.health_path)
}

#[test]
fn the_smallest_configuration_with_the_environment() {
    insta::assert_snapshot!(shown(&json!({}), &environment(), "127.0.0.1:4000"));
}

#[test]
fn the_smallest_configuration_with_a_program() {
    insta::assert_snapshot!(shown(&json!({}), &binary(), "127.0.0.1:4000"));
}

#[test]
fn every_field_with_a_program_on_a_gpu() {
    let config = json!({
        "model": { "context_size": 8192, "batch_size": 256, "threads": 6 },
        "server": { "host": "::1", "port": 4001, "timeout": "90s", "parallel": 4 },
        "gpu": { "backend": "cuda", "device_id": 1, "layers": 20 },
        "env": { "OMP_NUM_THREADS": "4", "LLAMA_ARG_CACHE_RAM": "1024" },
        "args": ["--flash-attn", "on"],
        "healthcheck": { "path": "/v1/health" },
        "aliases": ["gpt"], "ttl": 60, "priority": 3, "preload": true, "concurrency": 2,
        "request": { "strip": ["user"] }
    });
    insta::assert_snapshot!(shown(&config, &binary(), "[::1]:4001"));
}

#[test]
fn every_field_with_the_environment() {
    let config = json!({
        "model": { "context_size": 512, "batch_size": 256, "threads": 6 },
        "server": { "timeout": "1.5s", "parallel": 2 },
        "gpu": { "layers": 0 },
        "args": ["--embeddings"]
    });
    insta::assert_snapshot!(shown(&config, &environment(), "127.0.0.1:4000"));
}

#[test]
fn each_kind_of_device_has_its_name() {
    for (backend, expected) in [
        ("vulkan", "--device Vulkan2"),
        ("cuda", "--device CUDA2"),
        ("rocm", "--device ROCm2"),
        ("metal", "--split-mode none --main-gpu 2"),
    ] {
        let plan = plan_of(&json!({ "gpu": { "backend": backend, "device_id": 2 } }), &binary(), "127.0.0.1:4000").unwrap();
        assert!(plan.arguments.join(" ").contains(expected), "{backend}: {:?}", plan.arguments);
        assert!(!plan.arguments.contains(&"none".to_owned()) || backend == "metal");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (config, engine, setting, words) in [
        (json!({ "gpu": { "layers": 10 } }), environment(), "gpu.layers", "`gpu.backend` is `cpu`"),
        (json!({ "gpu": { "layers": 10 } }), binary(), "gpu.layers", "`gpu.backend` is `cpu`"),
        (json!({ "gpu": { "device_id": 0 } }), binary(), "gpu.device_id", "`gpu.backend` is `cpu`"),
        (json!({ "gpu": { "backend": "cuda" } }), environment(), "gpu.backend", "for the processor alone"),
        (json!({ "gpu": { "backend": "vulkan", "layers": 3 } }), environment(), "gpu.backend", "for the processor alone"),
        (json!({ "args": ["--port", "1"] }), binary(), "args", "`--port` must not be given: the port is set by `server.port`"),
        (json!({ "args": ["-x", "--host=0.0.0.0"] }), environment(), "args", "server.host"),
        (json!({ "args": ["-m", "x"] }), binary(), "args", "model.path"),
        (json!({ "args": ["--api-key", "x"] }), binary(), "args", "in front of the host"),
        (json!({ "args": ["--tools", "all"] }), binary(), "args", "run commands"),
        (json!({ "args": ["--mcp-servers-config", "x"] }), binary(), "args", "run commands"),
        (json!({ "env": { "LLAMA_ARG_PORT": "1" } }), binary(), "env.LLAMA_ARG_PORT", "server.port"),
        (json!({ "env": { "LLAMA_ARG_TOOLS": "all" } }), binary(), "env.LLAMA_ARG_TOOLS", "run commands"),
    ] {
        let error = plan_of(&config, &engine, "127.0.0.1:4000").unwrap_err();
        assert_eq!(error.code(), ErrorCode::SettingUnsupported);
        let text = error.to_string();
        assert!(text.starts_with(&format!("`{setting}` cannot be honoured by `llama_cpp`")) && text.contains(words), "{config}: {text}");
    }
}

#[test]
fn a_model_that_is_no_gguf_is_refused() {
    let spec: InstanceSpec = serde_json::from_value(json!({ "name": "demo", "model": { "ref": "file:/m" } })).unwrap();
    let listen = "127.0.0.1:1".parse().unwrap();
    let error = plan(&PlanRequest { spec: &spec, model: &model(ModelFormat::Safetensors), engine: &binary(), listen }).unwrap_err();
    assert!(error.to_string().contains("`model` cannot be honoured"), "{error}");
}

#[test]
fn a_path_that_is_no_text_is_refused_by_name() {
    use std::os::unix::ffi::OsStringExt;
    let spec: InstanceSpec = serde_json::from_value(json!({ "name": "demo", "model": { "ref": "file:/m" } })).unwrap();
    let mut strange = model(ModelFormat::Gguf);
    strange.path = std::ffi::OsString::from_vec(b"/models/\xff.gguf".to_vec()).into();
    let listen = "127.0.0.1:1".parse().unwrap();
    let error = plan(&PlanRequest { spec: &spec, model: &strange, engine: &binary(), listen }).unwrap_err();
    assert!(error.to_string().contains("`model.path` cannot be honoured"), "{error}");
}

#[test]
fn a_timeout_is_never_rounded_to_none() {
    for (text, expected) in [("0.2s", "1"), ("90s", "90"), ("1.5s", "2")] {
        let plan = plan_of(&json!({ "server": { "timeout": text } }), &binary(), "127.0.0.1:4000").unwrap();
        let at = plan.arguments.iter().position(|argument| argument == "--timeout").unwrap();
        assert_eq!(plan.arguments[at + 1], expected, "{text}");
    }
}

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn lint(text: &str) -> Vec<LintFinding> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.yaml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    lint_instance(&file, Naming::Free).unwrap()
}

fn keys(findings: &[LintFinding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.key.as_str()).collect()
}

#[test]
fn an_ordinary_configuration_has_no_findings() {
    let text = "name: a\nmodel: { ref: hf:owner/repo, context_size: 8192 }\nserver: { port: 8601, parallel: 2 }\nargs: [--no-warmup]\nenv: { A: b }\n";
    assert_eq!(lint(text), []);
}

#[test]
fn each_rule_finds_its_key() {
    for (text, expected) in [
        ("args: [--port, \"1\"]", "args[0]"),
        ("args: [--seed, \"1\", --ctx-size=512]", "args[2]"),
        ("args: [--api-key, abc]", "args[0]"),
        ("args: [--anything=hf_abcdefghijklmnopqrstuvwxyz]", "args[0]"),
        ("args: [\"--seed 1\"]", "args[0]"),
        ("env: { HF_TOKEN: abc }", "env.HF_TOKEN"),
        ("env: { X: hf_abcdefghijklmnopqrstuvwxyz }", "env.X"),
        ("env: { LLAMA_ARG_PORT: \"1\" }", "env.LLAMA_ARG_PORT"),
        ("env: { CUDA_VISIBLE_DEVICES: \"1\" }\ngpu: { backend: cuda, device_id: 0 }", "env.CUDA_VISIBLE_DEVICES"),
        ("gpu: { layers: 99 }", "gpu.layers"),
        ("gpu: { device_id: 0 }", "gpu.device_id"),
        ("gpu: { backend: vulkan, layers: 0 }", "gpu.layers"),
        ("concurrency: 1\nserver: { parallel: 4 }", "concurrency"),
        ("server: { port: 80 }", "server.port"),
        ("request: { set: { stream: true } }", "request.set.stream"),
        ("preload: true\nttl: 10m", "ttl"),
        ("restart_policy: { max_retries: 0 }", "restart_policy.max_retries"),
        ("logs: { stderr: false }", "logs.stderr"),
        ("healthcheck: { start_period: 1s }", "healthcheck.start_period"),
        ("engine: { binary: /nowhere/llama-server }", "engine.binary"),
    ] {
        let findings = lint(&format!("name: a\nmodel: {{ ref: hf:owner/repo }}\n{text}\n"));
        assert_eq!(keys(&findings), [expected], "{text}");
        assert!(findings[0].at.is_some(), "{text}");
    }
    assert_eq!(keys(&lint("name: a\nmodel: { path: /nowhere/m.gguf, context_size: 500 }\n")), ["model.path", "model.context_size"]);
}

#[test]
fn a_secret_is_never_repeated() {
    let secret = "hf_abcdefghijklmnopqrstuvwxyz";
    let text = format!(
        "name: a\nmodel: {{ ref: hf:owner/repo }}\nargs: [--hf-token, {secret}, --token={secret}]\nenv: {{ HF_TOKEN: {secret} }}\n"
    );
    let findings = lint(&text);
    assert_eq!(keys(&findings), ["args[0]", "args[1]", "args[2]", "env.HF_TOKEN"]);
    assert!(findings.iter().all(|finding| !format!("{finding:?}").contains(secret)));
}

#[test]
fn a_secret_in_a_private_file_is_fine() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.yaml");
    fs::write(&file, "name: a\nmodel: { ref: hf:owner/repo }\nenv: { HF_TOKEN: abc }\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(lint_instance(&file, Naming::Free).unwrap(), []);
}

#[test]
fn the_daemon_is_looked_at_too() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.yaml");
    assert_eq!(lint_daemon(&file).unwrap(), []);
    fs::write(&file, "gateway: { host: 0.0.0.0, port: 80 }\nfirst_instance_port: 81\n").unwrap();
    assert_eq!(keys(&lint_daemon(&file).unwrap()), ["gateway.host", "gateway.port", "first_instance_port"]);
}

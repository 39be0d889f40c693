//! The rules. Values of `env` and `args` may be secrets, so no message shows them.

use super::{Findings, Severity};
use crate::config::DaemonConfig;
use crate::instance::InstanceSpec;
use crate::instance::spec::Backend;

/// Arguments of servers that say what a key says, and the key.
const COVERED_ARGUMENTS: &[(&str, &str)] = &[
    ("-m", "model.path"),
    ("--model", "model.path"),
    ("-c", "model.context_size"),
    ("--ctx-size", "model.context_size"),
    ("-b", "model.batch_size"),
    ("--batch-size", "model.batch_size"),
    ("-t", "model.threads"),
    ("--threads", "model.threads"),
    ("--host", "server.host"),
    ("--port", "server.port"),
    ("-to", "server.timeout"),
    ("--timeout", "server.timeout"),
    ("-np", "server.parallel"),
    ("--parallel", "server.parallel"),
    ("-ngl", "gpu.layers"),
    ("--gpu-layers", "gpu.layers"),
    ("--n-gpu-layers", "gpu.layers"),
    ("-a", "aliases"),
    ("--alias", "aliases"),
];

/// Arguments of servers that carry a secret.
const SECRET_ARGUMENTS: &[&str] = &["--api-key", "--hf-token", "-hft", "--token", "--password"];

/// The least context, in tokens, that a request can do something with.
const SMALLEST_CONTEXT: u32 = 512;

pub(super) fn instance(spec: &InstanceSpec, findings: &mut Findings<'_>) {
    arguments(spec, findings);
    environment(spec, findings);
    device(spec, findings);
    places(spec, findings);
    life(spec, findings);
    files(spec, findings);
}

pub(super) fn daemon(config: &DaemonConfig, findings: &mut Findings<'_>) {
    let gateway = &config.gateway;
    if !gateway.host.is_loopback() && gateway.allowed_hosts.is_empty() {
        findings.add(
            Severity::Advice,
            &["gateway", "host"],
            format!("others reach the gateway at `{}`, but only by its address", gateway.host),
            "list the names they use in `gateway.allowed_hosts`",
        );
    }
    for (keys, port) in [(&["gateway", "port"][..], gateway.port), (&["first_instance_port"][..], config.first_instance_port)] {
        if let Some(port @ 1..1024) = port {
            privileged_port(keys, port, findings);
        }
    }
}

fn privileged_port(keys: &[&str], port: u16, findings: &mut Findings<'_>) {
    findings.add(Severity::Warning, keys, format!("port {port} takes special permission on most systems"), "choose a port from 1024 up");
}

fn arguments(spec: &InstanceSpec, findings: &mut Findings<'_>) {
    for (index, argument) in spec.args.iter().enumerate() {
        let name = argument.split('=').next().unwrap_or_default();
        if SECRET_ARGUMENTS.contains(&name) || looks_like_token(argument) {
            findings.add_item(
                Severity::Warning,
                "args",
                index,
                "a secret stands among the arguments, where every user of the machine can see it".to_owned(),
                "give it to the server in a file or an environment variable",
            );
        } else if let Some((_, key)) = COVERED_ARGUMENTS.iter().find(|(covered, _)| *covered == name) {
            let message = format!("`{name}` says what the key `{key}` says; the server gets it twice");
            findings.add_item(Severity::Warning, "args", index, message, &format!("set `{key}` instead"));
        } else if name.starts_with('-') && name.contains(' ') {
            findings.add_item(
                Severity::Warning,
                "args",
                index,
                "the argument holds a space; no shell splits it".to_owned(),
                "write the option and its value as two items",
            );
        }
    }
}

fn environment(spec: &InstanceSpec, findings: &mut Findings<'_>) {
    for name in spec.env.keys() {
        let keys = ["env", name.as_str()];
        if name.starts_with("LLAMA_ARG_") {
            let message = format!("`{name}` sets an argument of the server behind the back of this file");
            findings.add(Severity::Warning, &keys, message, "set the key of this file that says the same, or use `args`");
        }
        if ["CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"].contains(&name.as_str())
            && spec.gpu.device_id.is_some()
        {
            let message = format!("both `{name}` and `gpu.device_id` choose the device");
            findings.add(Severity::Warning, &keys, message, "leave one of them out");
        }
    }
    let secret = spec.env.iter().find(|(name, value)| !value.is_empty() && (sounds_secret(name) || looks_like_token(value)));
    if let Some((name, _)) = secret
        && let Some(mode) = readable_by_others(findings.file)
    {
        let message = format!("`env.{name}` looks like a secret, and others may read this file (mode {mode:03o})");
        let hint = format!("run `chmod 600 {}`", findings.file.display());
        findings.add(Severity::Warning, &["env", name.as_str()], message, &hint);
    }
}

fn device(spec: &InstanceSpec, findings: &mut Findings<'_>) {
    let gpu = &spec.gpu;
    if gpu.backend == Backend::Cpu {
        if gpu.layers.is_some_and(|layers| layers > 0) {
            let message = "`gpu.layers` has no effect: `gpu.backend` is `cpu`".to_owned();
            findings.add(Severity::Warning, &["gpu", "layers"], message, "set `gpu.backend`, or leave `gpu.layers` out");
        }
        if gpu.device_id.is_some() {
            let message = "`gpu.device_id` has no effect: `gpu.backend` is `cpu`".to_owned();
            findings.add(Severity::Warning, &["gpu", "device_id"], message, "set `gpu.backend`, or leave `gpu.device_id` out");
        }
    } else if gpu.layers == Some(0) {
        let message = format!("no layer goes to the device, although `gpu.backend` is `{}`", gpu.backend.as_str());
        findings.add(Severity::Warning, &["gpu", "layers"], message, "leave `gpu.layers` out to let the engine choose");
    }
}

fn places(spec: &InstanceSpec, findings: &mut Findings<'_>) {
    let parallel = u32::from(spec.server.parallel.get());
    if let Some(context) = spec.model.context_size
        && context.get() / parallel < SMALLEST_CONTEXT
    {
        let message = format!("each of {parallel} parallel requests gets {} tokens of context", context.get() / parallel);
        findings.add(Severity::Warning, &["model", "context_size"], message, "raise `model.context_size`, or lower `server.parallel`");
    }
    if let Some(concurrency) = spec.concurrency
        && concurrency.get() < parallel
    {
        let message = format!("only {concurrency} of the server's {parallel} places are ever used");
        findings.add(Severity::Advice, &["concurrency"], message, "make `concurrency` at least `server.parallel`");
    }
    if let Some(port) = spec.server.port
        && port.get() < 1024
    {
        privileged_port(&["server", "port"], port.get(), findings);
    }
    for field in ["model", "messages", "prompt", "stream"] {
        if spec.request.set.contains_key(field) {
            let message = format!("`request.set` replaces the `{field}` of every request");
            findings.add(Severity::Warning, &["request", "set", field], message, "take it out, unless clients expect that");
        }
    }
}

fn life(spec: &InstanceSpec, findings: &mut Findings<'_>) {
    if spec.preload && spec.ttl.is_some() {
        let message = "the instance is started with the daemon, and stopped again after `ttl` without a request".to_owned();
        findings.add(Severity::Advice, &["ttl"], message, "leave out `ttl` to keep it loaded, or `preload` to load it on demand");
    }
    if spec.restart_policy.enabled && spec.restart_policy.max_retries == 0 {
        let message = "a server that fails is never started again, although `restart_policy.enabled` is `true`".to_owned();
        findings.add(
            Severity::Warning,
            &["restart_policy", "max_retries"],
            message,
            "set `enabled: false` to say so, or raise `max_retries`",
        );
    }
    if !spec.logs.stderr {
        let message = "the error output is not kept, so a failed start cannot be explained".to_owned();
        findings.add(Severity::Advice, &["logs", "stderr"], message, "keep it: `max_size_mb` and `rotation` bound its size");
    }
    if spec.healthcheck.start_period < spec.healthcheck.timeout {
        let message = "the server must be ready sooner than one health check may take".to_owned();
        findings.add(Severity::Warning, &["healthcheck", "start_period"], message, "make it as long as the model takes to load");
    }
}

fn files(spec: &InstanceSpec, findings: &mut Findings<'_>) {
    if let Some(path) = spec.model.reference.as_file()
        && !path.exists()
    {
        let key = if findings.tree.find(&["model", "path"]).is_some() { "path" } else { "ref" };
        let message = format!("there is no `{}`", path.display());
        findings.add(Severity::Warning, &["model", key], message, "check the path");
    }
    if let Some(path) = &spec.engine.binary
        && !path.is_file()
    {
        let message = format!("there is no program `{}`", path.display());
        findings.add(Severity::Warning, &["engine", "binary"], message, "check the path, or leave the key out");
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let parts = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIAL"];
    parts.iter().any(|part| name.contains(part))
}

/// Recognises the tokens of well-known services by how they begin.
fn looks_like_token(text: &str) -> bool {
    const SHORTEST: usize = 20;
    let value = text.rsplit('=').next().unwrap_or(text);
    value.len() >= SHORTEST && ["hf_", "sk-", "ghp_", "github_pat_", "AKIA"].iter().any(|start| value.starts_with(start))
}

/// Returns the permissions of a file that not only its owner can read.
fn readable_by_others(file: &std::path::Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o044 != 0).then_some(mode)
}

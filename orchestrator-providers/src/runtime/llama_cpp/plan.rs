//! The launch plan of llama.cpp's server. Pure.
//!
//! Every field of the configuration becomes an argument, is refused by name, or is the host's own business:
//! `name` (the alias aside), `engine`, `env_key`, `server.host`, `server.port` (both arrive as the address to listen
//! on), `healthcheck`, `restart_policy`, `stop`, `logs`, `aliases`, `ttl`, `priority`, `pinned`, `preload`,
//! `concurrency`, `queue`, `memory`, `request` and `tools`.
//!
//! Where the configuration leaves something open that the model's source says — its context, its sampling, its stop
//! sequences, its template where the file has none — the source's word is taken.
//!
//! Settings of our own that an older `llama-server` may not know are given as variables: it ignores those it does
//! not know, where it would refuse an argument. A person's `env` wins over them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use orchestrator_core::instance::InstanceSpec;
use orchestrator_core::instance::spec::{Backend, GpuSpec, ModelSpec};
use orchestrator_core::launcher::LaunchPlan;
use orchestrator_core::model::{InstalledModel, ModelFormat};
use orchestrator_core::runtime::{Engine, PlanRequest, RuntimeError};

use super::engine::CPU_ENVIRONMENT;
use super::{HEALTH_PATH, NAME, defaults};

/// How much host memory the engine may fill with prompts it has seen, in MiB. Its own default is 8 GiB for each
/// server, which a machine with several of them does not have.
pub(super) const PROMPT_CACHE_MIB: &str = "256";

/// Every setting of the engine has a variable that begins like this. Those of our own surroundings are no business of
/// an instance: only what its configuration says counts.
const OWN_PREFIX: &str = "LLAMA_ARG_";

/// Options and their variables that would take from the host what it must decide, and the reason.
const RESERVED: [(&[&str], &str, &str); 14] = [
    (&["-m", "--model"], "LLAMA_ARG_MODEL", "the model is set by `model.path` or `model.ref`"),
    (&["-mu", "--model-url"], "LLAMA_ARG_MODEL_URL", "the model is set by `model.path` or `model.ref`"),
    (&["-hf", "-hfr", "--hf-repo"], "LLAMA_ARG_HF_REPO", "the model is set by `model.path` or `model.ref`"),
    (&["-dr", "--docker-repo"], "LLAMA_ARG_DOCKER_REPO", "the model is set by `model.path` or `model.ref`"),
    (&["--host"], "LLAMA_ARG_HOST", "the address is set by `server.host`"),
    (&["--port"], "LLAMA_ARG_PORT", "the port is set by `server.port`"),
    (&["-a", "--alias"], "LLAMA_ARG_ALIAS", "other names are set by `aliases`"),
    (&["--api-key"], "LLAMA_API_KEY", "the server answers to the host alone, and keys belong in front of the host"),
    (&["--api-key-file"], "LLAMA_ARG_API_KEY_FILE", "the server answers to the host alone, and keys belong in front of the host"),
    (&["-hft", "--hf-token"], "", "a secret on the command line can be read by every user of the machine"),
    (&["--api-prefix"], "LLAMA_ARG_API_PREFIX", "the host asks for the engine's own paths"),
    (
        &["--tools", "--tools-runtime", "-ag", "--agent"],
        "LLAMA_ARG_TOOLS",
        "tools of the engine run commands on this machine for whoever reaches it",
    ),
    (
        &["--mcp-servers-config", "--mcp-servers-json"],
        "LLAMA_ARG_MCP_SERVERS_CONFIG",
        "such servers run commands on this machine for whoever reaches it",
    ),
    (&["--ui-mcp-proxy", "--webui-mcp-proxy"], "LLAMA_ARG_UI_MCP_PROXY", "it lets web pages reach other machines through this one"),
];

/// Makes the plan of one instance.
pub(super) fn plan(request: &PlanRequest<'_>) -> Result<LaunchPlan, RuntimeError> {
    // Named one by one, so that a new field cannot be forgotten here.
    let InstanceSpec {
        name,
        model,
        runtime: _,
        engine: _,
        env_key: _,
        server,
        gpu,
        env,
        args,
        healthcheck,
        restart_policy: _,
        stop: _,
        logs: _,
        aliases: _,
        ttl: _,
        priority: _,
        pinned: _,
        preload: _,
        concurrency: _,
        queue: _,
        memory: _,
        request: _,
        tools: _,
    } = request.spec;
    check_model(request.model)?;
    check_reserved(args, env)?;

    let (program, mut arguments) = match request.engine {
        Engine::Binary { path } => (path.clone(), Vec::new()),
        Engine::Environment(environment) => {
            // Isolated from a person's own packages, and writing nothing into an environment that is to stay as it is.
            let launcher = text_of(&environment.launcher, "env_key")?;
            (environment.python.clone(), vec!["-I".to_owned(), "-B".to_owned(), launcher])
        }
        _ => return Err(unsupported("engine", "this kind of engine is not one of llama.cpp's")),
    };
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("--model", text_of(&request.model.path, "model.path")?);
    flag("--alias", name.to_string());
    flag("--host", request.listen.ip().to_string());
    flag("--port", request.listen.port().to_string());
    flag("--timeout", whole_seconds(server.timeout.get()).to_string());
    flag("--parallel", server.parallel.to_string());
    let ModelSpec { reference: _, context_size, batch_size, threads } = model;
    let meant = || defaults::context_size(request.spec, request.model);
    if let Some(context_size) = context_size.or_else(meant) {
        flag("--ctx-size", context_size.to_string());
    }
    if let Some(batch_size) = batch_size {
        flag("--batch-size", batch_size.to_string());
    }
    if let Some(threads) = threads {
        flag("--threads", threads.to_string());
    }
    arguments.extend(device_arguments(gpu, request.engine)?);
    arguments.extend(["--metrics".to_owned(), "--jinja".to_owned()]);
    let projector = request.model.projector.as_deref().map(|path| text_of(path, "model.ref")).transpose()?;
    arguments.extend(defaults::arguments(request.spec, request.model, projector));
    arguments.extend(args.iter().cloned());

    let mut variables = own_variables(request.listen, model, gpu);
    variables.extend(env.clone());
    let health_path = healthcheck.path.clone().unwrap_or_else(|| HEALTH_PATH.to_owned());
    let removed_prefixes = vec![OWN_PREFIX.to_owned()];
    Ok(LaunchPlan { program, arguments, variables, removed_prefixes, listen: request.listen, health_path })
}

fn unsupported(setting: &str, reason: impl Into<String>) -> RuntimeError {
    RuntimeError::SettingUnsupported { setting: setting.to_owned(), runtime: NAME, reason: reason.into() }
}

fn text_of(path: &std::path::Path, setting: &str) -> Result<String, RuntimeError> {
    path.to_str().map(str::to_owned).ok_or_else(|| unsupported(setting, format!("`{}` is not UTF-8", path.display())))
}

fn check_model(model: &InstalledModel) -> Result<(), RuntimeError> {
    match model.format {
        ModelFormat::Gguf => Ok(()),
        _ => Err(unsupported("model", format!("`{}` is no GGUF file", model.path.display()))),
    }
}

fn check_reserved(args: &[String], env: &BTreeMap<String, String>) -> Result<(), RuntimeError> {
    for (options, variable, reason) in RESERVED {
        let is_it = |argument: &&String| options.iter().any(|option| argument.split('=').next() == Some(option));
        if let Some(argument) = args.iter().find(is_it) {
            let option = argument.split('=').next().unwrap_or_default();
            return Err(unsupported("args", format!("`{option}` must not be given: {reason}")));
        }
        if env.contains_key(variable) {
            return Err(unsupported(&format!("env.{variable}"), reason));
        }
    }
    Ok(())
}

/// Rounds up, so that a short time never becomes none: 0 means no limit to the engine.
fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0 || duration.is_zero())
}

/// Where the model's layers go.
fn device_arguments(gpu: &GpuSpec, engine: &Engine) -> Result<Vec<String>, RuntimeError> {
    let GpuSpec { backend, device_id, layers } = gpu;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    if *backend == Backend::Cpu {
        if device_id.is_some() {
            return Err(unsupported("gpu.device_id", "`gpu.backend` is `cpu`, which has no devices to choose from"));
        }
        if layers.is_some_and(|layers| layers > 0) {
            return Err(unsupported("gpu.layers", "`gpu.backend` is `cpu`, which takes all layers anyway"));
        }
        // A program that was built for a GPU would use it unasked.
        return Ok(match engine {
            Engine::Binary { .. } => words(&["--device", "none"]),
            _ => Vec::new(),
        });
    }
    if let Engine::Environment(environment) = engine {
        let reason = format!("the environment `{}` holds an engine for the processor alone", environment.key);
        let hint = if environment.key.as_str() == CPU_ENVIRONMENT { "; name another program in `engine.binary`" } else { "" };
        return Err(unsupported("gpu.backend", reason + hint));
    }
    let mut arguments = Vec::new();
    if let Some(id) = device_id {
        arguments.extend(match backend {
            Backend::Vulkan => words(&["--device", &format!("Vulkan{id}")]),
            Backend::Cuda => words(&["--device", &format!("CUDA{id}")]),
            Backend::Rocm => words(&["--device", &format!("ROCm{id}")]),
            // Its devices have had several names; the number alone says the same.
            Backend::Metal | Backend::Cpu => words(&["--split-mode", "none", "--main-gpu", &id.to_string()]),
        });
    }
    if let Some(layers) = layers {
        arguments.extend(words(&["--n-gpu-layers", &layers.to_string()]));
    }
    Ok(arguments)
}

/// Our own settings, which a person may change with `env`.
fn own_variables(listen: SocketAddr, model: &ModelSpec, gpu: &GpuSpec) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        // Without this it answers every web page of every origin. A page of its own needs no permission.
        ("LLAMA_ARG_CORS_ORIGINS".to_owned(), format!("http://{listen}")),
        ("LLAMA_ARG_CACHE_RAM".to_owned(), PROMPT_CACHE_MIB.to_owned()),
    ]);
    // The engine changes what was left open so that it fits. Where nothing was left open, it need not look.
    if model.context_size.is_some() && (gpu.backend == Backend::Cpu || gpu.layers.is_some()) {
        variables.insert("LLAMA_ARG_FIT".to_owned(), "off".to_owned());
    }
    variables
}

#[cfg(test)]
mod tests;

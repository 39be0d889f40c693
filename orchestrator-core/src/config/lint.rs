//! Advice on configurations that can be used and are probably not meant. Pure: looks at values only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::instance::InstanceSpec;
use crate::instance::spec::Backend;

/// Something that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LintFinding {
    /// The path of the key, such as `server.host`.
    pub key: &'static str,
    /// What is odd about it.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// The least context that a request should have, in tokens.
const SMALL_CONTEXT: u32 = 1_024;

/// Looks at the configuration of one instance.
#[must_use]
pub fn lint_instance(spec: &InstanceSpec) -> Vec<LintFinding> {
    [exposed_server, secrets, split_context, idle_slots, slow_probe, short_life, unexplained_failure, idle_device, shrinking_backoff]
        .into_iter()
        .filter_map(|rule| rule(spec))
        .collect()
}

fn finding(key: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Option<LintFinding> {
    Some(LintFinding { key, message: message.into(), hint: hint.into() })
}

fn exposed_server(spec: &InstanceSpec) -> Option<LintFinding> {
    if spec.server.host.is_loopback() {
        return None;
    }
    finding(
        "server.host",
        format!("the engine listens on `{}` and asks nobody for a key", spec.server.host),
        "leave it out and let clients use the gateway, which does ask",
    )
}

fn secrets(spec: &InstanceSpec) -> Option<LintFinding> {
    let is_secret = |name: &&String| ["TOKEN", "SECRET", "PASSWORD", "API_KEY"].iter().any(|word| name.to_uppercase().contains(word));
    let name = spec.env.keys().find(is_secret)?;
    finding(
        "env",
        format!("`{name}` looks like a secret, and stands here for everybody who reads the file"),
        format!("set `{name}` in the environment of the daemon instead"),
    )
}

fn split_context(spec: &InstanceSpec) -> Option<LintFinding> {
    let parallel = u32::from(spec.server.parallel.get());
    let size = spec.model.context_size?.get();
    let share = size / parallel;
    if parallel == 1 || share >= SMALL_CONTEXT {
        return None;
    }
    finding(
        "model.context_size",
        format!("{size} tokens are shared by {parallel} parallel requests: {share} for each"),
        "raise `model.context_size`, or lower `server.parallel`",
    )
}

fn idle_slots(spec: &InstanceSpec) -> Option<LintFinding> {
    let concurrency = spec.concurrency?.get();
    let parallel = u32::from(spec.server.parallel.get());
    if concurrency >= parallel {
        return None;
    }
    finding(
        "concurrency",
        format!("{concurrency} requests are passed on at a time, and the server has places for {parallel}"),
        "make both the same",
    )
}

fn slow_probe(spec: &InstanceSpec) -> Option<LintFinding> {
    let check = &spec.healthcheck;
    if check.start_period.get() >= check.interval.get() {
        return None;
    }
    finding(
        "healthcheck.start_period",
        format!("the server has {} to become ready, less than one `interval` of {}", check.start_period, check.interval),
        "raise `healthcheck.start_period`: large models load for minutes",
    )
}

fn short_life(spec: &InstanceSpec) -> Option<LintFinding> {
    let ttl = spec.ttl.filter(|_| spec.preload)?;
    finding("preload", format!("it is loaded with the daemon and unloaded {ttl} later"), "leave out `preload` or `ttl`")
}

fn unexplained_failure(spec: &InstanceSpec) -> Option<LintFinding> {
    if spec.logs.stderr {
        return None;
    }
    finding("logs.stderr", "the error output is thrown away: a failed start cannot be explained", "leave it out")
}

fn idle_device(spec: &InstanceSpec) -> Option<LintFinding> {
    let gpu = &spec.gpu;
    let asks_for_device = gpu.device_id.is_some() || gpu.layers.is_some_and(|layers| layers > 0);
    if gpu.backend != Backend::Cpu || !asks_for_device {
        return None;
    }
    finding("gpu.backend", "a device is chosen, and the backend is `cpu`", "set `gpu.backend`, or leave out `gpu.device_id` and `gpu.layers`")
}

fn shrinking_backoff(spec: &InstanceSpec) -> Option<LintFinding> {
    let policy = &spec.restart_policy;
    if policy.initial_delay <= policy.max_delay {
        return None;
    }
    finding(
        "restart_policy.max_delay",
        format!("the first wait of {} is longer than the longest, {}", policy.initial_delay, policy.max_delay),
        "raise `restart_policy.max_delay`",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::path::Path;

    use super::*;
    use crate::config::load::{Naming, parse_instance};

    fn keys(settings: &str) -> Vec<&'static str> {
        let text = format!("name: x\nmodel:\n  path: /m/x.gguf\n  context_size: 4096\n{settings}");
        let spec = parse_instance(&text, Path::new("/home/instances/x/config.yaml"), Naming::Free).unwrap();
        lint_instance(&spec).into_iter().map(|finding| finding.key).collect()
    }

    #[test]
    fn the_defaults_need_no_advice() {
        assert!(keys("").is_empty());
    }

    #[test]
    fn each_oddity_is_told_by_its_key() {
        for (settings, key) in [
            ("server: { host: 0.0.0.0 }", "server.host"),
            ("env: { HF_TOKEN: abc }", "env"),
            ("server: { parallel: 8 }", "model.context_size"),
            ("server: { parallel: 4 }\nconcurrency: 2", "concurrency"),
            ("healthcheck: { start_period: 1s }", "healthcheck.start_period"),
            ("preload: true\nttl: 10m", "preload"),
            ("logs: { stderr: false }", "logs.stderr"),
            ("gpu: { layers: 3 }", "gpu.backend"),
            ("restart_policy: { initial_delay: 2m }", "restart_policy.max_delay"),
        ] {
            assert_eq!(keys(settings), [key], "{settings}");
        }
    }
}

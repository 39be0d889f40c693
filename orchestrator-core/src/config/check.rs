//! Rules that no type says: limits of values, and what must agree across keys. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{ConfigFault, MOST_FAULTS, Position};
use super::load::Naming;
use super::tree::{Node, shorten};
use super::{ConfigDuration, DaemonConfig};
use crate::instance::InstanceSpec;
use crate::instance::spec::{HealthcheckSpec, ProbeKind};

/// Lists the rules that an instance's configuration breaks.
pub(super) fn instance(spec: &InstanceSpec, tree: &Node, naming: Naming<'_>) -> Vec<ConfigFault> {
    let mut rules = Rules { tree, faults: Vec::new() };
    if let Naming::Folder(folder) = naming
        && *folder != spec.name
    {
        rules.break_with(
            &["name"],
            format!("the name `{}` is not that of the folder, `{folder}`", spec.name),
            format!("write `name: {folder}`, or rename the folder"),
        );
    }
    rules.aliases(spec);
    rules.environment(&spec.env);
    rules.arguments(&["args"], &spec.args);
    rules.server(spec);
    rules.healthcheck(spec);
    rules.restart_policy(spec);
    rules.request(spec);
    if let Some(ttl) = spec.ttl {
        rules.longer_than_nothing(&["ttl"], ttl, "leave the key out to keep the instance loaded");
        if spec.pinned {
            rules.break_with(&["ttl"], "`ttl` unloads the instance, and `pinned` never does".to_owned(), "take one of the two out");
        }
    }
    rules.faults
}

/// Lists the rules that the daemon's configuration breaks.
pub(super) fn daemon(config: &DaemonConfig, tree: &Node) -> Vec<ConfigFault> {
    let mut rules = Rules { tree, faults: Vec::new() };
    for (index, host) in config.gateway.allowed_hosts.iter().enumerate() {
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | ':' | '[' | ']' | '_');
        if host.is_empty() || !host.chars().all(plain) {
            rules.break_item(
                &["gateway", "allowed_hosts"],
                index,
                &format!("`{}` is no host name", shorten(host)),
                "write a name as it stands in an address, such as `models.example.org`",
            );
        }
    }
    for (index, origin) in config.gateway.allowed_origins.iter().enumerate() {
        if !is_origin(origin) {
            rules.break_item(
                &["gateway", "allowed_origins"],
                index,
                &format!("`{}` is no origin", shorten(origin)),
                "write scheme, host and port only, such as `https://chat.example.org`; there is no wildcard",
            );
        }
    }
    if config.limits.max_body_mb == 0 {
        rules.break_with(&["limits", "max_body_mb"], "`limits.max_body_mb` must be at least 1".to_owned(), "the default is 32");
    }
    rules.longer_than_nothing(&["limits", "start_wait"], config.limits.start_wait, "the default is `10m`");
    rules.longer_than_nothing(&["limits", "first_byte"], config.limits.first_byte, "the default is `10m`");
    if config.limits.memory_warning_percent > 100 {
        rules.break_with(
            &["limits", "memory_warning_percent"],
            format!("`limits.memory_warning_percent` must be from 0 to 100, found {}", config.limits.memory_warning_percent),
            "the default is 85; 0 turns the warning off",
        );
    }
    rules.longer_than_nothing(&["limits", "priority_step"], config.limits.priority_step, "the default is `10s`");
    match config.first_instance_port {
        Some(0) => rules.break_with(
            &["first_instance_port"],
            "`first_instance_port` must be from 1 to 65535".to_owned(),
            "leave the key out for a free port",
        ),
        Some(port) if config.gateway.port == Some(port) => rules.break_with(
            &["first_instance_port"],
            format!("`first_instance_port` and `gateway.port` are both {port}"),
            "give them two different ports",
        ),
        _ => {}
    }
    rules.faults
}

struct Rules<'a> {
    tree: &'a Node,
    faults: Vec<ConfigFault>,
}

impl Rules<'_> {
    /// The place of the value, or of the nearest section around it that is written.
    fn position(&self, keys: &[&str]) -> Option<Position> {
        (1..=keys.len()).rev().find_map(|length| self.tree.find(&keys[..length])).and_then(|node| node.at)
    }

    fn break_with(&mut self, keys: &[&str], message: String, hint: impl Into<String>) {
        self.faults.push(ConfigFault::new(self.position(keys), keys.join("."), message).with_hint(hint));
    }

    fn break_item(&mut self, keys: &[&str], index: usize, message: &str, hint: impl Into<String>) {
        let key = format!("{}[{index}]", keys.join("."));
        let at = self.tree.find(keys).and_then(|list| list.item(index)).and_then(|item| item.at);
        self.faults.push(ConfigFault::new(at, &key, format!("`{key}`: {message}")).with_hint(hint));
    }

    fn longer_than_nothing(&mut self, keys: &[&str], duration: ConfigDuration, hint: &str) {
        if duration.get().is_zero() {
            self.break_with(keys, format!("`{}` must be longer than nothing", keys.join(".")), hint);
        }
    }

    fn aliases(&mut self, spec: &InstanceSpec) {
        let mut seen = BTreeSet::new();
        for (index, alias) in spec.aliases.iter().enumerate() {
            let shown = shorten(alias);
            if let Some(reason) = refuse_alias(alias) {
                self.break_item(
                    &["aliases"],
                    index,
                    &format!("`{shown}` is no alias: {reason}"),
                    "an alias is what clients send as `model`, such as `gpt-4o`",
                );
            } else if alias == spec.name.as_str() {
                self.break_item(&["aliases"], index, &format!("`{shown}` is the instance's own name"), "take it out");
            } else if !seen.insert(alias) {
                self.break_item(&["aliases"], index, &format!("`{shown}` stands in the list twice"), "take one of them out");
            }
        }
    }

    // The values may be secrets: no message shows them.
    fn environment(&mut self, variables: &BTreeMap<String, String>) {
        for (name, value) in variables {
            // Looking for the place of a fault takes as long as the file is.
            if self.faults.len() >= MOST_FAULTS {
                break;
            }
            let shown = shorten(name);
            let keys = ["env", name.as_str()];
            if !is_variable_name(name) {
                let at = self.tree.key_position(&keys);
                let message = format!("`{shown}` is no name of an environment variable");
                let hint = "use letters, digits and `_`, and no digit in front";
                self.faults.push(ConfigFault::new(at, format!("env.{shown}"), message).with_hint(hint));
            } else if value.contains('\0') {
                self.break_with(&keys, format!("the value of `env.{shown}` holds a NUL character"), "take it out");
            }
        }
    }

    fn arguments(&mut self, keys: &[&str], arguments: &[String]) {
        for (index, argument) in arguments.iter().enumerate() {
            if argument.contains(['\0', '\n', '\r']) {
                self.break_item(
                    keys,
                    index,
                    "the argument holds a NUL character or a line break",
                    "write each argument as an item of its own",
                );
            }
        }
    }

    fn server(&mut self, spec: &InstanceSpec) {
        if !spec.server.host.is_loopback() {
            self.break_with(
                &["server", "host"],
                format!("`server.host` must be a loopback address, found `{}`", spec.server.host),
                "leave it out: servers ask for no key, so others reach them through the gateway, at `gateway.host` of `config.yaml`",
            );
        }
        self.longer_than_nothing(&["server", "timeout"], spec.server.timeout, "the default is `10m`");
    }

    fn healthcheck(&mut self, spec: &InstanceSpec) {
        let check = &spec.healthcheck;
        // A default that is written out says nothing.
        let fallback_path = Some(&check.fallback_path).filter(|path| **path != HealthcheckSpec::default().fallback_path);
        for (key, path) in [("path", check.path.as_ref()), ("fallback_path", fallback_path)] {
            let Some(path) = path else { continue };
            if !is_url_path(path) {
                self.break_with(
                    &["healthcheck", key],
                    format!("`healthcheck.{key}` must start with one `/` and hold no spaces, found `{}`", shorten(path)),
                    "write the path alone, such as `/health`",
                );
            } else if check.probe != ProbeKind::Http {
                self.break_with(
                    &["healthcheck", key],
                    format!("`healthcheck.{key}` has no meaning for the probe `{}`", check.probe.as_str()),
                    "take it out, or write `probe: http`",
                );
            }
        }
        self.probe_command(spec);
        self.longer_than_nothing(&["healthcheck", "interval"], check.interval, "the default is `5s`");
        self.longer_than_nothing(&["healthcheck", "timeout"], check.timeout, "the default is `5s`");
        self.longer_than_nothing(&["healthcheck", "start_period"], check.start_period, "the default is `10m`");
    }

    fn probe_command(&mut self, spec: &InstanceSpec) {
        let check = &spec.healthcheck;
        match (check.probe, check.command.first()) {
            (ProbeKind::Command, None) => self.break_with(
                &["healthcheck", "probe"],
                "the probe `command` needs `healthcheck.command`".to_owned(),
                "write the program and its arguments, such as `command: [/usr/local/bin/check-model]`",
            ),
            (ProbeKind::Command, Some(program)) if program.is_empty() || (program.contains('/') && !program.starts_with('/')) => self
                .break_item(
                    &["healthcheck", "command"],
                    0,
                    &format!("the program must be a whole path or a bare name, found `{}`", shorten(program)),
                    "write `/usr/local/bin/check-model`, or `curl` for a program on the search path",
                ),
            (ProbeKind::Http | ProbeKind::Tcp, Some(_)) => self.break_with(
                &["healthcheck", "command"],
                format!("`healthcheck.command` has no meaning for the probe `{}`", check.probe.as_str()),
                "take it out, or write `probe: command`",
            ),
            _ => {}
        }
        self.arguments(&["healthcheck", "command"], &check.command);
    }

    fn restart_policy(&mut self, spec: &InstanceSpec) {
        let policy = &spec.restart_policy;
        if !policy.backoff_multiplier.is_finite() || policy.backoff_multiplier < 1.0 {
            self.break_with(
                &["restart_policy", "backoff_multiplier"],
                format!("`restart_policy.backoff_multiplier` must be at least 1, found `{}`", policy.backoff_multiplier),
                "1 keeps the wait the same, 2 doubles it each time",
            );
        }
        if policy.max_delay < policy.initial_delay {
            self.break_with(
                &["restart_policy", "max_delay"],
                format!("`restart_policy.max_delay` ({}) is shorter than `initial_delay` ({})", policy.max_delay, policy.initial_delay),
                "make it at least as long",
            );
        }
    }

    fn request(&mut self, spec: &InstanceSpec) {
        for (index, field) in spec.request.strip.iter().enumerate() {
            if spec.request.set.contains_key(field) {
                self.break_item(
                    &["request", "strip"],
                    index,
                    &format!("`{}` is also in `request.set`", shorten(field)),
                    "what `set` writes replaces what the client sent: take it out of `strip`",
                );
            }
        }
    }
}

fn is_url_path(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && path.chars().all(|character| character.is_ascii_graphic())
}

fn refuse_alias(alias: &str) -> Option<&'static str> {
    const LONGEST: usize = 200;
    if alias.is_empty() {
        Some("it is empty")
    } else if alias.len() > LONGEST {
        Some("it is longer than 200 bytes")
    } else if alias.chars().any(|character| character.is_control() || character.is_whitespace()) {
        Some("it holds spaces or control characters")
    } else {
        None
    }
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}

fn is_origin(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | ':' | '[' | ']' | '_');
    !scheme.is_empty()
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
        && !host.is_empty()
        && host.chars().all(plain)
}

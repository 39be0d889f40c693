//! The daemon's own configuration: `config.yaml` in the home.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigDuration;

/// The daemon's configuration file. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonConfig {
    /// Where clients reach us.
    pub gateway: GatewayConfig,
    /// What may be spent.
    pub limits: LimitsConfig,
    /// The port that the first instance gets, for its own web page. Others get free ports.
    #[schemars(example = 8585)]
    pub first_instance_port: Option<u16>,
}

/// Where clients reach us, and who is let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// The address to listen on. Anything beyond loopback demands the API key of `state/api-key`.
    pub host: IpAddr,
    /// The port to listen on. When it is left out, 8484 is used, or a free port where 8484 is taken.
    #[schemars(example = 8484)]
    pub port: Option<u16>,
    /// Host names, besides the address itself and `localhost`, by which clients may reach us.
    #[schemars(example = ["models.example.org"])]
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may call us: scheme, host and port. There is no wildcard.
    #[schemars(example = ["https://chat.example.org"])]
    pub allowed_origins: Vec<String>,
}

impl GatewayConfig {
    /// The port that is tried first when none is configured.
    pub const PREFERRED_PORT: u16 = 8484;
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self { host: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None, allowed_hosts: Vec::new(), allowed_origins: Vec::new() }
    }
}

/// What may be spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The largest request body, in MiB.
    pub max_body_mb: u32,
    /// How long a request waits for its model to become ready before it is answered with an error.
    pub start_wait: ConfigDuration,
    /// How long an engine may take to answer the head of a response.
    pub first_byte: ConfigDuration,
    /// How long a daemon that was replaced (`orch daemon restart`) goes on with the answers that had begun.
    pub replaced_drain: ConfigDuration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_body_mb: 32,
            start_wait: ConfigDuration::from_secs(600),
            first_byte: ConfigDuration::from_secs(600),
            replaced_drain: ConfigDuration::from_secs(3_600),
        }
    }
}

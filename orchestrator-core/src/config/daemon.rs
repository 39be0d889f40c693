//! The daemon's own configuration: `config.yaml` in the home.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigDuration;
use crate::scheduler::policy::Balance;

/// The daemon's configuration file. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonConfig {
    /// Where clients reach us.
    pub gateway: GatewayConfig,
    /// What may be spent.
    pub limits: LimitsConfig,
    /// What models may take of the disk and of the network.
    pub models: ModelsConfig,
    /// What the daemon writes about itself.
    pub log: LogConfig,
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

/// What the daemon writes about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How a line looks: `text` for people, `json` for programs.
    pub format: LogFormat,
}

/// How a line of the daemon's log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object, with the request's id and the instance as fields of their own.
    Json,
}

/// What models may take of the disk and of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// The disk space that all models we fetched together may take, in GB (10⁹ bytes). As much as there is, when it is
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 500)]
    pub max_disk_gb: Option<u64>,
    /// The disk space that is always left free, in GB (10⁹ bytes).
    pub keep_free_gb: u64,
    /// The size, in GB (10⁹ bytes), above which a pull must be confirmed. 0 asks for every one.
    pub confirm_above_gb: u64,
    /// How many models are fetched side by side. Others wait for their turn.
    pub parallel_pulls: NonZeroU32,
    /// How many connections one file is fetched over, at most 64. All files together get twice as many.
    pub connections: NonZeroU32,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            max_disk_gb: None,
            keep_free_gb: 1,
            confirm_above_gb: 30,
            parallel_pulls: NonZeroU32::MIN.saturating_add(1),
            connections: NonZeroU32::MIN.saturating_add(7),
        }
    }
}

/// What may be spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The largest request body, in MiB.
    pub max_body_mb: u32,
    /// How long a request waits for its model to become ready, or for a place, before it is answered with an error.
    /// `queue.max_wait` of an instance says otherwise for that one.
    pub start_wait: ConfigDuration,
    /// How long an engine may take to answer the head of a response.
    pub first_byte: ConfigDuration,
    /// How full the machine's memory, or that of a device, may be before a warning is shown, in percent. 0 turns the
    /// warning off.
    pub memory_warning_percent: u8,
    /// How long a daemon that was replaced (`orch daemon restart`) goes on with the answers that had begun.
    pub replaced_drain: ConfigDuration,
    /// How long a switch to another model, or a changed configuration, waits for the requests that are under way.
    pub drain: ConfigDuration,
    /// How many instances may run at once. As many as fit into memory, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 2)]
    pub max_running: Option<NonZeroU32>,
    /// The machine's memory that all instances together may need, in MiB. Nine tenths of what the machine has, when it
    /// is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 48_000)]
    pub memory_mb: Option<u64>,
    /// The memory of each GPU that all instances together may need, in MiB. 95 % of what it has, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 22_000)]
    pub device_memory_mb: Option<u64>,
    /// For how long an instance is not unloaded for another one after it became ready. As long as its load took (at most
    /// a minute), when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "30s")]
    pub residency: Option<ConfigDuration>,
    /// For how long those who asked earlier keep an instance loaded that another one must leave for.
    pub turn: ConfigDuration,
    /// The wait that is worth one step of `priority`.
    pub priority_step: ConfigDuration,
    /// Which of several instances of one model serves a request.
    pub balance: Balance,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_body_mb: 32,
            start_wait: ConfigDuration::from_secs(600),
            first_byte: ConfigDuration::from_secs(600),
            memory_warning_percent: 85,
            replaced_drain: ConfigDuration::from_secs(3_600),
            drain: ConfigDuration::from_secs(30),
            max_running: None,
            memory_mb: None,
            device_memory_mb: None,
            residency: None,
            turn: ConfigDuration::from_secs(30),
            priority_step: ConfigDuration::from_secs(10),
            balance: Balance::LeastBusy,
        }
    }
}

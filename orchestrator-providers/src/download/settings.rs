//! What a client and a downloader are told: addresses, proxies, limits and every duration. Tests shorten them here.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::Url;

use crate::settings::ProxySettings;

/// How a [`super::HttpClient`] reaches others.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The addresses that a person configured. Only these may be on this machine or in a private network; see
    /// [`super::AddressPolicy`].
    pub endpoints: Vec<Url>,
    /// The proxies of the surroundings. Never used for this machine.
    pub proxies: ProxySettings,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the head of an answer may take, the connection included.
    pub header_timeout: Duration,
    /// How long a small answer may take in all.
    pub small_timeout: Duration,
    /// How many redirects are followed.
    pub most_redirects: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            proxies: ProxySettings::default(),
            connect_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            small_timeout: Duration::from_mins(1),
            most_redirects: 10,
        }
    }
}

/// How many connections a file gets, whatever is asked for: more would help nobody.
const MOST_CONNECTIONS: usize = 64;

/// How a [`super::Downloader`] fetches files.
#[derive(Debug, Clone)]
pub struct DownloadSettings {
    /// How many connections one file gets at most.
    pub connections: usize,
    /// How many connections all files together get at most.
    pub connections_in_all: usize,
    /// How many bytes in all are asked for at once while nothing is known of the way. Divided by [`Self::connections`], this
    /// is the shortest range that is asked for. What a killed download fetches again is these, and the few blocks that were
    /// about to be written: less than 8 MiB.
    pub window_bytes: u64,
    /// The longest range that is asked for, where answers take long to begin because the source is far away.
    pub longest_range: u64,
    /// A connection that brings less than [`Self::stall_bytes`] in this time is given up.
    pub stall_window: Duration,
    /// See [`Self::stall_window`].
    pub stall_bytes: u64,
    /// How often in a row something may fail without any progress.
    pub most_failures: u32,
    /// How often in a row it may fail before anything of the file came.
    pub most_failures_at_first: u32,
    /// The wait after a first failure. It doubles with each.
    pub first_pause: Duration,
    /// The longest wait after a failure, and the longest that a source can make us wait with `Retry-After`.
    pub longest_pause: Duration,
    /// How often a lock that somebody holds is tried.
    pub lock_poll: Duration,
    /// How many bytes one remote header may make us fetch.
    pub most_header_bytes: u64,
}

impl DownloadSettings {
    /// Fetches each file over at most so many connections, and all together over at most twice as many.
    #[must_use]
    pub fn with_connections(connections: Option<NonZeroU32>) -> Self {
        let Some(connections) = connections else { return Self::default() };
        let connections = usize::try_from(connections.get()).unwrap_or(usize::MAX).min(MOST_CONNECTIONS);
        Self { connections, connections_in_all: connections * 2, ..Self::default() }
    }
}

impl Default for DownloadSettings {
    fn default() -> Self {
        Self {
            connections: 8,
            connections_in_all: 16,
            window_bytes: 6 << 20,
            longest_range: 32 << 20,
            stall_window: Duration::from_secs(30),
            stall_bytes: 16 << 10,
            most_failures: 10,
            most_failures_at_first: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            lock_poll: Duration::from_millis(50),
            most_header_bytes: 64 << 20,
        }
    }
}

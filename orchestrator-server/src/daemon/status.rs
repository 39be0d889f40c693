//! What the daemon knows about itself.

use std::sync::Arc;

use orchestrator_core::Paths;
use orchestrator_core::event::Timestamp;

use super::VERSION;
use crate::api::{DaemonStatus, InstanceCounts, InstanceList, Predecessor};

/// Makes the answer of `GET /api/v1/status`.
#[derive(Clone)]
pub(crate) struct StatusSource {
    home: Arc<str>,
    log: Arc<str>,
    endpoint: Arc<str>,
    started_at: Timestamp,
}

impl StatusSource {
    pub(super) fn new(paths: &Paths, endpoint: String) -> Self {
        let home = paths.home().unwrap_or(paths.state_dir()).to_string_lossy().into_owned();
        let log = paths.daemon_log().to_string_lossy().into_owned();
        Self { home: home.into(), log: log.into(), endpoint: endpoint.into(), started_at: Timestamp::now() }
    }

    pub(crate) fn status(&self, list: InstanceList, draining: Vec<Predecessor>) -> DaemonStatus {
        let InstanceList { instances, problems: _, runtimes, warnings } = list;
        let instances = InstanceCounts {
            configured: instances.len(),
            running: instances.iter().filter(|instance| instance.pid.is_some()).count(),
            ready: instances.iter().filter(|instance| instance.state == "ready").count(),
        };
        DaemonStatus {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            home: self.home.to_string(),
            log: self.log.to_string(),
            endpoint: self.endpoint.to_string(),
            started_at: self.started_at,
            uptime_seconds: self.started_at.elapsed_seconds(),
            instances,
            runtimes,
            warnings,
            draining,
        }
    }
}

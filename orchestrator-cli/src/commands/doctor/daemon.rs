//! Whether the daemon answers.

use std::fs::{OpenOptions, TryLockError};

use orchestrator_core::{ErrorCode, Paths};
use orchestrator_server::ClientError;
use orchestrator_server::api::DaemonStatus;

use super::Check;
use crate::context::Context;
use crate::output::format;

const NAME: &str = "daemon";

/// Asks the daemon, where there is one.
pub(super) async fn look(context: &Context) -> Option<DaemonStatus> {
    match context.passive_client().status().await {
        Ok(status) => Some(status),
        Err(ClientError::Unreachable { .. }) => None,
        Err(error) => {
            tracing::warn!(%error, "the daemon does not answer as it should");
            None
        }
    }
}

pub(super) fn check(paths: &Paths, daemon: Option<&DaemonStatus>) -> Check {
    let log = paths.daemon_log();
    if let Some(status) = daemon {
        let uptime = format::uptime(status.uptime_seconds);
        let detail = format!("process {} at {}, running for {uptime}\nits log is {}", status.pid, status.endpoint, log.display());
        if status.version != env!("CARGO_PKG_VERSION") {
            let hint = "`orch daemon stop`, then any command: servers go on running meanwhile";
            return Check::warn(NAME, format!("{detail}\nit has version {}, this is {}", status.version, env!("CARGO_PKG_VERSION")), hint);
        }
        return Check::ok(NAME, detail);
    }
    if is_owned(paths) {
        let detail = "a process owns this home, and does not answer";
        return Check::fail(
            NAME,
            ErrorCode::DaemonUnreachable,
            detail,
            format!("its number is in {}; its log is {}", paths.owner_lock().display(), log.display()),
        );
    }
    Check::ok(NAME, "not running; commands start it when they need it")
}

/// Returns whether somebody holds the lock of the home.
fn is_owned(paths: &Paths) -> bool {
    let Ok(lock) = OpenOptions::new().read(true).open(paths.owner_lock()) else { return false };
    // A shared lock is let go at once with the file, and keeps no owner out for longer than that.
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}

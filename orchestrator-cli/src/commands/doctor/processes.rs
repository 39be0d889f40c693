//! Servers of this home that run without a daemon.

use orchestrator_core::process::LocalLauncher;
use orchestrator_core::{Launcher as _, Paths};

use super::Check;

const NAME: &str = "processes";

pub(super) async fn check(paths: &Paths, has_daemon: bool) -> Check {
    let found = match LocalLauncher::of_home(paths).discover().await {
        Ok(found) => found,
        Err(error) => return Check::warn(NAME, format!("running servers cannot be looked for: {error}"), "see whether /proc can be read"),
    };
    let names: Vec<String> = found.iter().map(|workload| format!("{} ({})", workload.instance, workload.identity)).collect();
    match (names.as_slice(), has_daemon) {
        ([], _) => Check::ok(NAME, "no server of this home runs"),
        (names, true) => Check::ok(NAME, format!("under the daemon: {}", names.join(", "))),
        (names, false) => Check::warn(
            NAME,
            format!("run without a daemon: {}", names.join(", ")),
            "the next daemon takes them over (`orch ps`); `orch daemon stop --all` ends them",
        ),
    }
}

//! The folders of the home: can they be written, are they private, is there room. And what is configured in them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use orchestrator_core::config::InstanceCatalog;
use orchestrator_core::{ErrorCode, Paths};
use rustix::fs::Access;

use super::Check;
use crate::commands::config::report::ConfigReport;
use crate::output::format;

/// Below this an environment cannot be built.
const LITTLE_SPACE: u64 = 1024 * 1024 * 1024;
/// Below this even logs and state are in danger.
const NO_SPACE: u64 = 64 * 1024 * 1024;

pub(super) fn checks(paths: &Paths) -> Vec<Check> {
    vec![home(paths), private(paths), space(paths)]
}

fn home(paths: &Paths) -> Check {
    let mut folders = vec![
        paths.config_dir(),
        paths.models_dir().as_path().parent().unwrap_or(paths.config_dir()),
        paths.state_dir(),
        paths.logs_dir(),
        paths.cache_dir(),
    ]
    .into_iter()
    .map(Path::to_path_buf)
    .collect::<Vec<_>>();
    folders.dedup();
    for folder in &folders {
        let there = nearest_existing(folder);
        if !there.is_dir() {
            let detail = format!("{} is no folder", there.display());
            return Check::fail("home", ErrorCode::HomeUnusable, detail, "move it away, or choose another home with `--home DIR`");
        }
        if let Err(error) = rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK) {
            let detail = format!("{} cannot be written: {error}", there.display());
            return Check::fail(
                "home",
                ErrorCode::HomeUnusable,
                detail,
                "give yourself the right to write there, or choose another home with `--home DIR`",
            );
        }
    }
    let state = if paths.config_dir().exists() { "can be written" } else { "can be made" };
    Check::ok("home", format!("{} {state}", paths.config_dir().display()))
}

fn private(paths: &Paths) -> Check {
    for (path, allowed) in [(paths.state_dir().to_path_buf(), 0o700), (paths.api_key_file(), 0o600)] {
        let Ok(metadata) = path.metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & !allowed != 0 {
            let detail = format!("{} can be used by others (mode {mode:o})", path.display());
            return Check::warn("permissions", detail, format!("chmod {allowed:o} {}", path.display()));
        }
    }
    Check::ok("permissions", "the state of this home is private")
}

fn space(paths: &Paths) -> Check {
    let folder = nearest_existing(&paths.envs_dir()).to_path_buf();
    let free = match rustix::fs::statvfs(&folder) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            return Check::warn("disk", format!("the free space of {} cannot be told: {error}", folder.display()), "look with `df`");
        }
    };
    let detail = format!("{} free for {}", format::bytes(free), folder.display());
    match free {
        0..NO_SPACE => Check::fail("disk", ErrorCode::DiskFull, detail, "free some space: state and logs cannot be written for long"),
        NO_SPACE..LITTLE_SPACE => Check::warn("disk", detail, "free some space before you build an environment or install a model"),
        _ => Check::ok("disk", detail),
    }
}

/// Checks everything that is configured.
pub(super) fn configurations(paths: &Paths) -> Check {
    let (report, InstanceCatalog { entries, .. }) = ConfigReport::of_home(paths);
    match report.problems.first() {
        None => Check::ok("configuration", format!("{} configured, all usable", instances(entries.len()))),
        Some(first) => {
            let detail = format!("{} of {} cannot be used\n{}", report.problems.len(), entries.len().max(1), first.problem);
            Check::fail("configuration", first.problem.code, detail, "`orch config validate` tells everything")
        }
    }
}

fn instances(count: usize) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}

/// Returns the path itself where it exists, else the nearest folder above that does.
fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::commands::doctor::CheckResult;

    #[test]
    fn a_home_that_is_a_file_is_a_failure_and_one_to_come_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(home(&Paths::in_home(&folder.path().join("a/b"))).result, CheckResult::Ok);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(home(&Paths::in_home(&file)).result, CheckResult::Fail);
        assert!(!folder.path().join("a").exists(), "the doctor changed something");
    }

    #[test]
    fn an_open_state_folder_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::in_home(folder.path());
        assert_eq!(private(&paths).result, CheckResult::Ok);
        std::fs::create_dir(paths.state_dir()).unwrap();
        for (mode, expected) in [(0o755, CheckResult::Warn), (0o700, CheckResult::Ok)] {
            std::fs::set_permissions(paths.state_dir(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(private(&paths).result, expected, "{mode:o}");
        }
    }
}

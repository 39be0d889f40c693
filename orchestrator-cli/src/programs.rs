//! Programs of the machine: where they are, and what they say about themselves.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::Access;

/// Finds a program in the folders of a search path.
#[must_use]
pub(crate) fn find(name: &str, search_path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search_path).map(|folder| folder.join(name)).find(|path| is_executable(path))
}

/// Returns whether a path is a file that we may run.
#[must_use]
pub(crate) fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

/// Runs a program and returns the first line it prints; nothing when it fails or takes too long.
pub(crate) async fn first_line(program: &Path, arguments: &[&str], deadline: Duration) -> Option<String> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(deadline, command.output()).await.ok()?.ok()?;
    if !output.status.success() {
        return None;
    }
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_program_is_found_once_it_may_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        std::fs::write(&path, "#!/bin/sh\necho tool $1\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find("tool", folder.path().as_os_str()), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", folder.path().as_os_str()), Some(path.clone()));
        let line = first_line(&path, &["1.2"], Duration::from_secs(10)).await;
        assert_eq!(line.as_deref(), Some("tool 1.2"));
        assert_eq!(first_line(Path::new("/bin/false"), &[], Duration::from_secs(10)).await, None);
    }
}

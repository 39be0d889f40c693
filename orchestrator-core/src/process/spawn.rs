//! How an order becomes a child process: its environment, its output, its group.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{INSTANCE_VARIABLE, LISTEN_VARIABLE, OWNER_VARIABLE};
use crate::instance::secrets::is_secret_name;
use crate::launcher::{LaunchError, LaunchOrder};

/// What a service manager said to us and to nobody else.
const OUR_OWN_VARIABLES: [&str; 6] = ["NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// The library `setproctitle` (worker processes in Python use it) overwrites the environment that others see, and
/// with it our marks, unless this is set.
const KEEP_ENVIRONMENT_VISIBLE: &str = "SPT_NOENV";

/// Starts the child. It must be waited for.
pub(crate) fn spawn(owner_tag: &str, order: &LaunchOrder) -> Result<Child, LaunchError> {
    let plan = &order.plan;
    let mut command = Command::new(&plan.program);
    command.args(&plan.arguments);
    // The environment is looked at only to hold back a part of it.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_held_back(name) || is_removed(name, &plan.removed_prefixes)) {
        command.env_remove(name);
    }
    command
        .env(KEEP_ENVIRONMENT_VISIBLE, "1")
        .envs(&plan.variables)
        .env(OWNER_VARIABLE, owner_tag)
        .env(INSTANCE_VARIABLE, order.instance.as_str())
        .env(LISTEN_VARIABLE, plan.listen.to_string())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output(order.output.stdout.as_deref())?)
        .stderr(output(order.output.stderr.as_deref())?);
    let child = command.spawn().map_err(|source| LaunchError::Spawn { program: plan.program.clone(), source })?;
    forbid_core_dumps(&child);
    Ok(child)
}

/// Whether a variable of ours is not handed on to what we start. A secret is most likely ours, and not theirs.
pub(crate) fn is_held_back(name: &OsStr) -> bool {
    let name = name.as_bytes();
    is_secret_name(name) || OUR_OWN_VARIABLES.iter().any(|own| name == own.as_bytes())
}

fn is_removed(name: &OsStr, prefixes: &[String]) -> bool {
    prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

/// A core of a server holds the prompts of its users, and gigabytes of weights.
fn forbid_core_dumps(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Err(error) = prlimit(pid, Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::debug!(pid = child.id(), %error, "core dumps could not be forbidden");
    }
}

fn output(path: Option<&Path>) -> Result<Stdio, LaunchError> {
    let Some(path) = path else { return Ok(Stdio::null()) };
    let file = open_log(path).map_err(|source| LaunchError::Log { path: path.to_path_buf(), source })?;
    Ok(file.into())
}

/// Opens a log so that everything written lands at its end, even after it was cut short by a rotation.
fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // A pipe without a reader would block the open for ever.
    if let Ok(metadata) = fs::metadata(path)
        && !metadata.is_file()
        && !metadata.file_type().is_char_device()
    {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;

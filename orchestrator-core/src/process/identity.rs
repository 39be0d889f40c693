//! Who a process is, and the one way to signal it.
//!
//! A number is no identity: it is reused. A [`Stamp`] (number and start time) is one within a boot. A
//! [`ProcessHandle`] holds a pidfd that was opened first and checked afterwards, so that it means the process of
//! the stamp for as long as it is open, whatever happens to the number.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::table::read_record;
use crate::launcher::LaunchError;

/// A process, beyond doubt within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp {
    /// The process id.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the boot.
    pub(crate) start_ticks: u64,
}

/// Returns the id of the running boot.
pub(crate) fn boot_id() -> Result<&'static str, LaunchError> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|source| LaunchError::System { action: "read the id of this boot from `/proc`", source })?;
    Ok(BOOT_ID.get_or_init(|| text.trim().to_owned()))
}

/// A process that stays the same one while this is held.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    stamp: Stamp,
    pidfd: OwnedFd,
}

impl ProcessHandle {
    /// Opens the living process with this stamp; `None` when it is gone, or when the number is somebody else's.
    pub(crate) fn open(stamp: Stamp) -> Result<Option<Self>, LaunchError> {
        let Some(pidfd) = open_pidfd(stamp.pid)? else { return Ok(None) };
        // Looked at after the pidfd was opened: what the number means from here on, the pidfd means too.
        match read_record(stamp.pid) {
            Ok(Some(record)) if record.stamp() == stamp && record.alive => Ok(Some(Self { stamp, pidfd })),
            Ok(_) => Ok(None),
            Err(source) => Err(LaunchError::System { action: "read the state of a process from `/proc`", source }),
        }
    }

    /// Opens a child of ours that nobody has reaped, dead or alive: its number cannot be anybody else's.
    pub(crate) fn open_child(pid: u32) -> Result<Self, LaunchError> {
        let gone = |source| LaunchError::System { action: "identify the process that was started", source };
        let pidfd = open_pidfd(pid)?.ok_or_else(|| gone(io::ErrorKind::NotFound.into()))?;
        let record = read_record(pid).map_err(gone)?.ok_or_else(|| gone(io::ErrorKind::NotFound.into()))?;
        Ok(Self { stamp: record.stamp(), pidfd })
    }

    /// Returns whose handle it is.
    pub(crate) const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Signals the process. That it is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the process has ended, reaped or not. Cancel-safe.
    pub(crate) async fn gone(&self) -> io::Result<()> {
        // A registration of its own for each wait, so that it belongs to the runtime that waits.
        #[expect(deprecated, reason = "an `OwnedFd` keeps what the unsafe `register_with_interest` asks its caller to promise")]
        let pidfd = AsyncFd::with_interest(self.pidfd.try_clone()?, Interest::READABLE)?;
        pidfd.readable().await.map(drop)
    }
}

fn open_pidfd(pid: u32) -> Result<Option<OwnedFd>, LaunchError> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        // `EINVAL` and `ENOENT`: the number is a thread's by now.
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => Ok(None),
        Err(error) => Err(LaunchError::System { action: "open a pidfd (it needs Linux 5.3 or newer)", source: error.into() }),
    }
}

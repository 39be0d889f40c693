//! The successor as a process, seen from the owner: proven by its connection, ended when it does not come up.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::UnixStream;

/// How long a successor that gave up may take to end by itself.
const ENDING: Duration = Duration::from_secs(5);
/// How often is looked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// The process at the other end of a connection.
pub(super) struct Peer {
    pid: i32,
    process: OwnedFd,
}

impl Peer {
    /// Finds it. It lives: it is just waiting for us.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let pid = stream.peer_cred()?.pid().ok_or(io::ErrorKind::NotFound)?;
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, process: pidfd_open(number, PidfdFlags::empty())? })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns when it has ended; it is killed when it does not do so by itself.
    pub(super) async fn end(&self) {
        let deadline = Instant::now() + ENDING;
        while Instant::now() < deadline {
            if self.has_ended() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        tracing::warn!(pid = self.pid, "the successor does not end; it is killed");
        self.kill().await;
    }

    /// Kills it, and returns when it has ended.
    pub(super) async fn kill(&self) {
        if let Err(error) = pidfd_send_signal(&self.process, Signal::KILL) {
            tracing::debug!(pid = self.pid, %error, "the successor could not be killed");
        }
        // The kernel ends it; a process that is stuck in the kernel holds the lock, and must be waited for.
        while !self.has_ended() {
            tokio::time::sleep(POLL).await;
        }
    }

    fn has_ended(&self) -> bool {
        let mut watched = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut watched, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

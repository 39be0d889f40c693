//! Ports: finding a free one, and telling who holds one.
//!
//! That a port is free says nothing about the next moment: whoever starts a server on it checks afterwards that
//! the listener is the server's ([`Workload::owns_listener`](crate::launcher::Workload::owns_listener)).

mod sockets;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use self::sockets::{Reach, listeners_at};
use super::table::process_ids;

/// A process that listens at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// The process id.
    pub pid: u32,
    /// The name of its program, control characters escaped.
    pub program: String,
}

impl std::fmt::Display for PortHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (process {})", self.program, self.pid)
    }
}

/// Returns a port that was free at `host` a moment ago.
pub fn free_port(host: IpAddr) -> io::Result<u16> {
    Ok(TcpListener::bind((host, 0))?.local_addr()?.port())
}

/// Returns whether a server could listen at `address` now. Fails when that cannot be tried: the port needs more
/// rights, or the address is not this machine's.
pub fn is_free(address: SocketAddr) -> io::Result<bool> {
    match TcpListener::bind(address) {
        Ok(_listener) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns who listens at `address`; `None` when nobody does, or when it is a process that we may not look into.
#[must_use]
pub fn holder_of(address: SocketAddr) -> Option<PortHolder> {
    let sockets = inodes_serving(address)?;
    if sockets.is_empty() {
        return None;
    }
    let holds = |pid: &u32| sockets_of(*pid).is_some_and(|mut open| open.any(|inode| sockets.contains(&inode)));
    let pid = process_ids().ok()?.find(holds)?;
    Some(PortHolder { pid, program: program_of(pid) })
}

/// Returns whether a connection to `address` reaches one of `pids`, and nobody else; `None` when it cannot be told.
pub(super) fn listens(pids: &[u32], address: SocketAddr) -> Option<bool> {
    let sockets = inodes_serving(address)?;
    if sockets.is_empty() {
        return Some(false);
    }
    let mut ours = HashSet::new();
    let mut saw_all = true;
    for pid in pids {
        match sockets_of(*pid) {
            Some(open) => ours.extend(open.filter(|inode| sockets.contains(inode))),
            None => saw_all = false,
        }
    }
    if ours.len() == sockets.len() {
        return Some(true);
    }
    // One that we could not look into may hold the rest.
    saw_all.then_some(false)
}

/// Returns the sockets that a connection to `address` may reach: those bound to it, or else those bound to all
/// addresses. Several, when they share the port.
fn inodes_serving(address: SocketAddr) -> Option<HashSet<u64>> {
    let listeners = listeners_at(address).ok()?;
    let of = |reach| -> HashSet<u64> { listeners.iter().filter(|found| found.reach == reach).map(|found| found.inode).collect() };
    let exact = of(Reach::Exact);
    Some(if exact.is_empty() { of(Reach::Wildcard) } else { exact })
}

/// Returns the sockets a process has open; `None` when we may not look. A process that is gone has none.
fn sockets_of(pid: u32) -> Option<impl Iterator<Item = u64>> {
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => return None,
    };
    Some(entries.into_iter().flatten().filter_map(Result::ok).filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }))
}

fn program_of(pid: u32) -> String {
    let executable = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = executable.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let name = name.or_else(|| fs::read(format!("/proc/{pid}/comm")).ok().map(|name| String::from_utf8_lossy(&name).trim().to_owned()));
    super::output::readable(&name.unwrap_or_default())
}

#[cfg(test)]
mod tests;

//! The listening TCP sockets of this machine, from `/proc/net/tcp` and `/proc/net/tcp6`.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that accepts connections to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) inode: u64,
    pub(super) reach: Reach,
}

/// How a listener came to accept connections to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is bound to that very address.
    Exact,
    /// It is bound to all addresses.
    Wildcard,
}

/// Returns the listeners that accept connections to `address`.
pub(super) fn listeners_at(address: SocketAddr) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    // A socket for IPv6 may accept IPv4 too, so both tables matter to an IPv4 address.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let file = match File::open(table) {
            Ok(file) => file,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => continue,
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            listeners.extend(parse(&line).and_then(|(bound, inode)| Some(Listener { inode, reach: reach(bound, address)? })));
            line.clear();
        }
    }
    Ok(listeners)
}

fn reach(bound: SocketAddr, address: SocketAddr) -> Option<Reach> {
    if bound.port() != address.port() {
        return None;
    }
    if bound.ip().to_canonical() == address.ip().to_canonical() {
        return Some(Reach::Exact);
    }
    match (bound.ip(), address.ip().to_canonical()) {
        // Whether a socket for IPv6 takes IPv4 as well is not shown; by default it does.
        (IpAddr::V4(any), IpAddr::V4(_)) if any.is_unspecified() => Some(Reach::Wildcard),
        (IpAddr::V6(any), _) if any.is_unspecified() => Some(Reach::Wildcard),
        _ => None,
    }
}

/// Parses one line: the address and the inode of a socket in the state `LISTEN`; `None` for every other line.
fn parse(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    // After the state: queues, timer, retransmissions, user, timeout, inode.
    let inode = fields.nth(5)?.parse().ok()?;
    let (host, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(host)?)),
        32 => {
            let mut bytes = [0_u8; 16];
            for (index, target) in bytes.chunks_exact_mut(4).enumerate() {
                target.copy_from_slice(&word(host.get(index * 8..index * 8 + 8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((SocketAddr::new(ip, port), inode))
}

/// Four bytes of an address: a word printed as this machine reads it, of bytes that stand in network order.
fn word(digits: &str) -> Option<[u8; 4]> {
    Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
}

#[cfg(test)]
mod tests;

//! Where the daemon listens: the TCP port of the configuration, or a free one; the Unix socket, private to its owner.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use orchestrator_core::config::daemon::GatewayConfig;
use orchestrator_core::process::ports;
use rustix::process::{Resource, Rlimit};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use super::DaemonError;
use crate::socket_path;

/// How many connections may wait to be accepted. The usual 128 overflow at about 200 clients at once.
const BACKLOG: u32 = 4_096;
/// Descriptors that are not for clients: logs, the database, engines.
const RESERVED_DESCRIPTORS: u64 = 256;
/// A request through the gateway needs one connection to the client and one to the engine.
const DESCRIPTORS_PER_CLIENT: u64 = 2;

/// What a daemon listens on.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) tcp: TcpListener,
    pub(super) unix: UnixListener,
}

impl Listeners {
    /// Listens where the configuration says.
    pub(super) fn open(config: &GatewayConfig, socket: &Path) -> Result<Self, DaemonError> {
        Ok(Self { tcp: tcp(config)?, unix: unix(socket)? })
    }

    /// Takes the listeners of an earlier owner; where the configuration names another address by now, that one is
    /// listened on instead.
    pub(super) fn inherit(self, config: &GatewayConfig) -> Result<Self, DaemonError> {
        let address = address_of(&self.tcp)?;
        let is_as_configured = config.host == address.ip() && config.port.is_none_or(|port| port == 0 || port == address.port());
        Ok(if is_as_configured { self } else { Self { tcp: tcp(config)?, unix: self.unix } })
    }
}

/// Returns where a listener listens.
pub(super) fn address_of(listener: &TcpListener) -> Result<SocketAddr, DaemonError> {
    listener.local_addr().map_err(|source| DaemonError::System { action: "ask for the address we listen on", source })
}

/// Lets this process open as many files as the system allows it, and returns how many connections that is, but at
/// most `wanted`.
pub(super) fn raise_descriptor_limit(wanted: usize) -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let room = current.unwrap_or(u64::MAX).saturating_sub(RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CLIENT;
    usize::try_from(room).unwrap_or(usize::MAX).clamp(64, wanted.max(64))
}

/// Listens on the configured port; without one on the usual port, or on a free one where that is taken.
fn tcp(config: &GatewayConfig) -> Result<TcpListener, DaemonError> {
    let address = SocketAddr::new(config.host, config.port.unwrap_or(GatewayConfig::PREFERRED_PORT));
    match listen(address) {
        Ok(listener) => Ok(listener),
        Err(source) if source.kind() == ErrorKind::AddrInUse && config.port.is_none() => {
            let any = SocketAddr::new(config.host, 0);
            let holder = ports::holder_of(address).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            tracing::warn!("{address} is taken by {holder}; a free port is used");
            listen(any).map_err(|source| DaemonError::Listen { address: any, source })
        }
        Err(source) if source.kind() == ErrorKind::AddrInUse => {
            Err(DaemonError::PortTaken { address, holder: ports::holder_of(address).map(|holder| holder.to_string()) })
        }
        Err(source) => Err(DaemonError::Listen { address, source }),
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A daemon that was killed may leave connections behind that would hold the port for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Returns the address by which clients on this machine reach a listener.
pub(super) fn endpoint(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// Listens on the Unix socket. One that is there already is stale: we hold the lock of this home.
fn unix(path: &Path) -> Result<UnixListener, DaemonError> {
    let file = |action| move |source| DaemonError::File { action, path: path.to_path_buf(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(file("create the folder of"))?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(file("make private the folder of"))?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(file("remove the stale socket"))?,
        Ok(_) => return Err(file("replace")(std::io::Error::new(ErrorKind::AlreadyExists, "it is no socket"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(file("look at")(source)),
    }
    let reachable = socket_path::reachable(path).map_err(file("reach"))?;
    let listener = UnixSocket::new_stream().and_then(|socket| {
        socket.bind(reachable.as_path())?;
        socket.listen(BACKLOG)
    });
    let listener = listener.map_err(file("listen on"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(file("make private"))?;
    Ok(listener)
}

/// Removes the Unix socket.
pub(super) fn remove_socket(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "could not remove the socket");
    }
}

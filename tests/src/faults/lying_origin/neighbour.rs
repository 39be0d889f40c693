//! A server at an address of this machine that is a private one and not loopback: what a lying source would like us to
//! ask.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, UdpSocket};

/// Listens, and hopes for nobody.
pub(super) struct Neighbour {
    listener: TcpListener,
}

impl Neighbour {
    /// Listens where this machine has such an address.
    pub(super) fn find() -> Option<Self> {
        // Nothing is sent: only the way there is looked up.
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        let address = socket.local_addr().ok()?.ip();
        let is_private = matches!(address, IpAddr::V4(address) if address.is_private());
        let listener = TcpListener::bind((address, 0)).ok().filter(|_| is_private)?;
        listener.set_nonblocking(true).ok()?;
        Some(Self { listener })
    }

    /// Returns where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}/secret", self.listener.local_addr().unwrap())
    }

    /// Fails when somebody came.
    pub(super) fn assert_nobody_came(&self) {
        match self.listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("a private address was asked: {other:?}"),
        }
    }
}

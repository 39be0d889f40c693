//! Real listeners.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use super::{free_port, holder_of, is_free, listens};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn a_chosen_port_is_free_until_somebody_listens() {
    let address = SocketAddr::new(HERE, free_port(HERE).unwrap());
    assert!(is_free(address).unwrap());
    let listener = TcpListener::bind(address).unwrap();
    assert!(!is_free(address).unwrap());
    let holder = holder_of(address).unwrap();
    assert_eq!(holder.pid, std::process::id());
    assert_eq!(holder.to_string(), format!("`{}` (process {})", holder.program, holder.pid));
    assert!(holder.program.starts_with("orchestrator_core"), "{holder}");
    assert_eq!(listens(&[holder.pid], address), Some(true));
    assert_eq!(listens(&[], address), Some(false));
    drop(listener);
    assert_eq!(holder_of(address), None);
    assert_eq!(listens(&[holder.pid], address), Some(false));
}

#[test]
fn a_listener_on_all_addresses_holds_each_of_them() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let address = SocketAddr::new(HERE, listener.local_addr().unwrap().port());
    assert!(!is_free(address).unwrap());
    assert_eq!(holder_of(address).unwrap().pid, std::process::id());
}

#[test]
fn a_listener_elsewhere_on_the_port_holds_nothing_here() {
    let listener = TcpListener::bind(("127.0.0.2", 0)).unwrap();
    let address = SocketAddr::new(HERE, listener.local_addr().unwrap().port());
    assert_eq!(holder_of(address), None);
}

#[test]
fn an_address_that_is_not_ours_cannot_be_tried() {
    assert!(is_free("192.0.2.1:0".parse().unwrap()).is_err());
}

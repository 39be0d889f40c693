//! Which addresses may be reached: a source on the internet must not send us into the private network, or to this machine.
//!
//! Owns: the classes of addresses and the rule. It is pure; who resolves names is [`super::resolver`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// Reached through the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network: RFC 1918, shared address space, unique local.
    Private,
    /// The nearest network only; clouds keep their secrets there (169.254.169.254).
    LinkLocal,
    /// Multicast, unspecified, reserved, for documentation: nothing is fetched from there.
    Special,
}

impl AddressClass {
    /// Returns the class of an address. One that carries an IPv4 address has the class of that.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [0 | 224..=255, ..] | [192, 0, 0 | 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
                Self::Special
            }
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let embedded = |high: u16, low: u16| Self::of_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // Mapped, and translated (NAT64): what is reached is the IPv4 address inside.
            // 6to4 has it in front.
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
            // Unspecified, IPv4-compatible, local NAT64, and all that is not global unicast.
            [0xfc00..=0xfdff, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            // Teredo, ORCHID and the like live in 2001::/23; documentation in 2001:db8::/32 and 3fff::/20.
            [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Special,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}

/// Why an address is not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// It is not HTTP.
    #[error("`{scheme}` is neither http nor https")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// It names no host.
    #[error("it names no host")]
    NoHost,
    /// It is not for us.
    #[error("`{host}` is at {address}, which is not on the internet, and nobody configured it")]
    Address {
        /// The name or the address as it was written.
        host: String,
        /// The address it leads to.
        address: IpAddr,
    },
}

/// Which addresses may be reached. Everything on the internet; beyond that, what a person configured:
///
/// - an endpoint on this machine allows all addresses of this machine (hub and storage are two ports in tests), and nothing
///   private,
/// - an endpoint that is a private address allows that very address,
/// - an endpoint that is a name allows what that very name resolves to on this machine or in a private network.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    loopback: bool,
    addresses: Vec<IpAddr>,
    names: Vec<String>,
}

impl AddressPolicy {
    /// Makes the policy for what a person configured: endpoints, and proxies.
    #[must_use]
    pub fn for_endpoints<'a>(endpoints: impl IntoIterator<Item = &'a Url>) -> Self {
        let mut policy = Self::default();
        for url in endpoints {
            match literal(url) {
                Some(address) => policy.admit_literal(address.to_canonical()),
                None => policy.admit_name(url.host_str().unwrap_or_default()),
            }
        }
        policy
    }

    /// Lets names and addresses of proxies through, which say nothing about where a source may lead.
    #[must_use]
    pub(super) fn with_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a Url>) -> Self {
        // Addresses of proxies are not resolved, and must not become reachable for sources.
        let named = hosts.into_iter().filter(|url| literal(url).is_none() && !is_local(url));
        self.names.extend(named.filter_map(|url| url.host_str()).map(plain_name));
        self
    }

    fn admit_literal(&mut self, address: IpAddr) {
        match AddressClass::of(address) {
            AddressClass::Loopback => self.loopback = true,
            AddressClass::Public => {}
            AddressClass::Private | AddressClass::LinkLocal | AddressClass::Special => self.addresses.push(address),
        }
    }

    fn admit_name(&mut self, name: &str) {
        let name = plain_name(name);
        if is_localhost(&name) {
            self.loopback = true;
        } else if !name.is_empty() {
            self.names.push(name);
        }
    }

    /// Returns whether an address may be reached.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match AddressClass::of(address) {
            AddressClass::Public => true,
            AddressClass::Loopback => self.loopback,
            AddressClass::Private | AddressClass::LinkLocal | AddressClass::Special => self.addresses.contains(&address),
        }
    }

    /// Returns whether an address may be reached that a name resolved to.
    #[must_use]
    pub fn admits_resolved(&self, name: &str, address: IpAddr) -> bool {
        let near = matches!(AddressClass::of(address.to_canonical()), AddressClass::Loopback | AddressClass::Private);
        self.admits(address) || (near && self.names.contains(&plain_name(name)))
    }

    /// Judges an address as it is written. Names are judged when they are resolved.
    pub fn check(&self, url: &Url) -> Result<(), AddressRefusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressRefusal::Scheme { scheme: url.scheme().to_owned() });
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressRefusal::NoHost)?;
        match literal(url) {
            Some(address) if !self.admits(address) => Err(AddressRefusal::Address { host: host.to_owned(), address }),
            _ => Ok(()),
        }
    }
}

/// Returns the address of a URL that has one instead of a name.
fn literal(url: &Url) -> Option<IpAddr> {
    // IPv6 addresses stand in brackets.
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Returns whether an address is this machine's, as it is written.
fn is_local(url: &Url) -> bool {
    let by_name = || url.host_str().is_some_and(|host| is_localhost(&plain_name(host)));
    literal(url).map_or_else(by_name, |address| AddressClass::of(address) == AddressClass::Loopback)
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn plain_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;

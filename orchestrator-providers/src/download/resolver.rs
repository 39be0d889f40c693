//! Resolves names for our clients, and leaves out addresses that must not be reached. It is asked for each connection, so
//! a name that changes its address between two questions gains nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{AddressPolicy, AddressRefusal};

/// The system's resolver behind an [`AddressPolicy`].
#[derive(Debug, Clone)]
pub(super) struct FilteredResolver {
    policy: Arc<AddressPolicy>,
}

impl FilteredResolver {
    pub(super) fn new(policy: Arc<AddressPolicy>) -> Self {
        Self { policy }
    }
}

impl Resolve for FilteredResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted = filter(&policy, name.as_str(), found)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// Leaves out what must not be reached. Fails when nothing is left.
fn filter(policy: &AddressPolicy, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, AddressRefusal> {
    let (admitted, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| policy.admits_resolved(name, address.ip()));
    match refused.first() {
        Some(refused) if admitted.is_empty() => Err(AddressRefusal::Address { host: name.to_owned(), address: refused.ip() }),
        _ => Ok(admitted),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn what_a_name_resolves_to_is_filtered() {
        let policy = AddressPolicy::default();
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let both = vec![address("127.0.0.1"), address("1.1.1.1")];
        assert_eq!(filter(&policy, "a.example", both).unwrap(), [address("1.1.1.1")]);
        let refused = filter(&policy, "a.example", vec![address("10.0.0.1")]).unwrap_err();
        assert!(refused.to_string().contains("10.0.0.1"), "{refused}");
    }
}

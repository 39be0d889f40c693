//! What the gateway keeps of each instance: what is counted, and its circuit.
//!
//! A table that only grows, by one entry for each name of an instance that was ever served: readers take no lock and
//! allocate nothing. Names come from configurations, never from clients, so it stays small.

use std::sync::{Arc, OnceLock};

use orchestrator_core::InstanceName;

use super::breaker::Breaker;
use crate::metrics::Meters;

/// How many chains there are. With hundreds of instances a look is still at a handful of names.
const CHAINS: usize = 64;

/// What is kept of one instance.
#[derive(Debug, Default)]
pub(crate) struct Station {
    /// What is counted.
    pub(crate) meters: Meters,
    /// Its circuit.
    pub(crate) breaker: Breaker,
}

/// What is kept of all instances.
#[derive(Debug)]
pub(crate) struct Stations {
    chains: [OnceLock<Box<Link>>; CHAINS],
    /// For requests of which no instance is known.
    nowhere: Arc<Station>,
}

#[derive(Debug)]
struct Link {
    name: InstanceName,
    station: Arc<Station>,
    next: OnceLock<Box<Self>>,
}

impl Default for Stations {
    fn default() -> Self {
        Self { chains: [const { OnceLock::new() }; CHAINS], nowhere: Arc::default() }
    }
}

impl Stations {
    /// Returns what is kept of an instance.
    pub(crate) fn of(&self, name: &InstanceName) -> &Arc<Station> {
        let mut place = &self.chains[chain_of(name.as_str())];
        loop {
            // Where two come at once, one of them makes the entry and the other one finds it.
            let link = place.get_or_init(|| Box::new(Link { name: name.clone(), station: Arc::default(), next: OnceLock::new() }));
            if link.name == *name {
                return &link.station;
            }
            place = &link.next;
        }
    }

    /// Returns what is kept of requests of which no instance is known.
    pub(crate) fn nowhere(&self) -> &Arc<Station> {
        &self.nowhere
    }

    /// Returns all there are, by name; the first is for requests of which no instance is known, and has none.
    pub(crate) fn all(&self) -> Vec<(&str, &Station)> {
        let mut all = vec![("", &*self.nowhere)];
        for chain in &self.chains {
            let mut place = chain.get();
            while let Some(link) = place {
                all.push((link.name.as_str(), &link.station));
                place = link.next.get();
            }
        }
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }
}

/// FNV-1a: names are short, and nobody outside chooses them.
fn chain_of(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    usize::try_from(hash % CHAINS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn name(number: usize) -> InstanceName {
        InstanceName::try_new(format!("instance-{number}")).unwrap()
    }

    #[test]
    fn every_name_has_one_entry_however_many_come_at_once() {
        let stations = Stations::default();
        let asked: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let ask = || (0..500).map(|number| Arc::as_ptr(stations.of(&name(number))) as usize).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(asked.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(stations.all().len(), 501);
        assert!(stations.all().is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn names_spread_over_the_chains() {
        let mut chains = [0; CHAINS];
        for number in 0..640 {
            chains[chain_of(name(number).as_str())] += 1;
        }
        assert!(chains.iter().all(|count| *count < 40), "{chains:?}");
    }
}

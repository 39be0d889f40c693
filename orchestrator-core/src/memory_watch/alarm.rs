//! The policy of the memory warning, pure: when it begins, when it is over, and what it says.

use std::collections::BTreeMap;

use serde_json::json;

use super::{MachineMemory, StandingWarning};
use crate::event::Timestamp;

/// How many percent below the limit the memory must be before the warning is over: one that hovers around the limit
/// warns once.
const MARGIN: u8 = 5;

/// Which memory is too full, and since when.
#[derive(Debug)]
pub(super) struct MemoryAlarm {
    /// Above this many percent it warns; 0 is never.
    limit: u8,
    /// The memories that are too full, by their names.
    raised: BTreeMap<String, StandingWarning>,
}

/// A warning that began or is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) message: String,
    pub(super) data: serde_json::Value,
}

/// One memory as it was seen.
struct Seen {
    /// Its name for programs, such as `host` or `cuda:0`.
    name: String,
    /// Its name for people.
    title: String,
    used: u64,
    total: u64,
}

impl Seen {
    fn percent(&self) -> u8 {
        u8::try_from(u128::from(self.used) * 100 / u128::from(self.total.max(1))).unwrap_or(100)
    }

    fn describe(&self) -> String {
        format!("{} is {} % full ({:.1} of {:.1} GiB)", self.title, self.percent(), gibibytes(self.used), gibibytes(self.total))
    }
}

impl MemoryAlarm {
    pub(super) const fn new(limit: u8) -> Self {
        Self { limit, raised: BTreeMap::new() }
    }

    /// Takes in a reading and returns what changed by it.
    pub(super) fn note(&mut self, memory: &MachineMemory) -> Vec<Change> {
        if self.limit == 0 {
            return Vec::new();
        }
        let seen = memories(memory);
        // A device that is not seen any more is not too full.
        self.raised.retain(|name, _| seen.iter().any(|seen| seen.name == *name));
        seen.iter().filter_map(|seen| self.note_one(seen, memory.at)).collect()
    }

    /// Returns the warnings that stand.
    pub(super) fn standing(&self) -> Vec<StandingWarning> {
        self.raised.values().cloned().collect()
    }

    fn note_one(&mut self, seen: &Seen, at: Timestamp) -> Option<Change> {
        let data = |is_over| json!({ "memory": seen.name, "used_percent": seen.percent(), "limit_percent": self.limit, "above": is_over });
        let warning = || format!("{}: more than the {} % of `limits.memory_warning_percent`", seen.describe(), self.limit);
        if let Some(standing) = self.raised.get_mut(&seen.name) {
            if seen.percent() > self.limit.saturating_sub(MARGIN) {
                standing.message = warning();
                return None;
            }
            let change = Change { message: format!("{} again: the warning is over", seen.describe()), data: data(false) };
            self.raised.remove(&seen.name);
            return Some(change);
        }
        if seen.percent() <= self.limit {
            return None;
        }
        let change = Change { message: warning(), data: data(true) };
        self.raised.insert(seen.name.clone(), StandingWarning { since: at, message: change.message.clone() });
        Some(change)
    }
}

/// Returns every memory whose size is known.
fn memories(memory: &MachineMemory) -> Vec<Seen> {
    let host = Seen {
        name: "host".to_owned(),
        title: "the machine's memory".to_owned(),
        used: memory.total_bytes.saturating_sub(memory.available_bytes),
        total: memory.total_bytes,
    };
    // What shares the machine's memory is full when that is.
    let devices = memory.devices.iter().filter(|device| !device.unified_memory).filter_map(|device| {
        let name = device.short_name();
        let used = device.memory_total_bytes.saturating_sub(device.memory_free_bytes?);
        Some(Seen { title: format!("the memory of `{}` ({name})", device.name), name, used, total: device.memory_total_bytes })
    });
    std::iter::once(host).chain(devices).filter(|seen| seen.total > 0).collect()
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::Device;
    use crate::instance::spec::Backend;

    const GIB: u64 = 1 << 30;

    fn machine(used_percent: u64, device_percent: Option<u64>) -> MachineMemory {
        let devices = device_percent.map(|percent| Device {
            memory_free_bytes: Some(80 * GIB / 100 * (100 - percent)),
            ..Device::new(Backend::Cuda, 0, "H100", 80 * GIB)
        });
        MachineMemory {
            at: Timestamp::now(),
            total_bytes: 100 * GIB,
            available_bytes: (100 - used_percent) * GIB,
            devices: devices.into_iter().collect(),
            uses: Vec::new(),
        }
    }

    /// What each reading brings: the memories that begin (`+`) or end (`-`) to be too full.
    fn changes(alarm: &mut MemoryAlarm, memory: &MachineMemory) -> Vec<String> {
        let changes = alarm.note(memory);
        changes
            .iter()
            .map(|change| {
                format!("{}{}", if change.data["above"] == true { '+' } else { '-' }, change.data["memory"].as_str().unwrap_or("?"))
            })
            .collect()
    }

    #[test]
    fn one_warning_begins_above_the_limit_and_is_over_well_below_it() {
        let mut alarm = MemoryAlarm::new(85);
        let steps: [(u64, &[&str]); 9] =
            [(50, &[]), (85, &[]), (86, &["+host"]), (99, &[]), (84, &[]), (81, &[]), (80, &["-host"]), (85, &[]), (90, &["+host"])];
        for (used, expected) in steps {
            assert_eq!(changes(&mut alarm, &machine(used, None)), expected, "at {used} %");
        }
    }

    #[test]
    fn each_device_has_a_warning_of_its_own() {
        let mut alarm = MemoryAlarm::new(85);
        assert_eq!(changes(&mut alarm, &machine(90, Some(90))), ["+host", "+cuda:0"]);
        assert_eq!(changes(&mut alarm, &machine(50, Some(91))), ["-host"]);
        let standing = alarm.standing();
        assert_eq!(standing.len(), 1);
        assert_eq!(
            standing[0].message,
            "the memory of `H100` (cuda:0) is 91 % full (72.8 of 80.0 GiB): more than the 85 % of `limits.memory_warning_percent`"
        );
        assert_eq!(changes(&mut alarm, &machine(50, None)), Vec::<String>::new(), "a device that is gone is no news");
        assert!(alarm.standing().is_empty());
    }

    #[test]
    fn nothing_is_said_where_it_is_turned_off_or_nothing_is_known() {
        assert!(MemoryAlarm::new(0).note(&machine(100, Some(100))).is_empty());
        let unknown = MachineMemory { total_bytes: 0, available_bytes: 0, ..machine(0, None) };
        assert!(MemoryAlarm::new(85).note(&unknown).is_empty());
    }
}

//! The policy, pure: given a process table, which processes belong to a workload, and which ones lead one.
//!
//! What belongs is found from five sides, because each one has a hole: descent (a parent that ends hands its
//! children to init), the process group (a child may leave it), the marks (a child may be given an environment
//! without them), the logs (a child may be given other outputs), and memory of earlier looks (which see only what was
//! there then).

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::identity::Stamp;
use super::table::{FileId, Marks, ProcessRecord};
use crate::launcher::{DiscoveredWorkload, OutputFiles, ProcessIdentity, WorkloadIdentity};
use crate::names::InstanceName;

/// What is known about the processes of one workload.
#[derive(Debug)]
pub(crate) struct Kin {
    pub(crate) owner_tag: Arc<str>,
    pub(crate) instance: InstanceName,
    /// The process we started, where it is known.
    pub(crate) leader: Option<Stamp>,
    /// Where its output goes.
    pub(crate) output: OutputFiles,
    /// Whoever was found to belong, and was alive at the last look.
    known: Mutex<BTreeSet<Stamp>>,
}

/// What a look may assume about the leader's process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupTrust {
    /// Its number is the leader's only while the leader, or somebody proven to belong, is in it.
    Proven,
    /// The leader ended just now: whoever is in the group was in it before, as numbers are handed out in turn.
    JustOrphaned,
}

impl Kin {
    pub(crate) fn new(owner_tag: Arc<str>, instance: InstanceName, leader: Option<Stamp>, output: OutputFiles) -> Self {
        Self { owner_tag, instance, leader, output, known: Mutex::default() }
    }

    /// Finds who belongs, zombies included, and remembers the living. In the order in which to signal.
    pub(crate) fn find<'table>(&self, table: &'table [ProcessRecord], view: &View<'_>) -> Vec<&'table ProcessRecord> {
        let mut known = self.known();
        let found = members(table, &Search { kin: self, known: &known, view });
        *known = found.iter().filter(|record| record.alive).map(|record| record.stamp()).collect();
        found
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Stamp>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carries_our_marks(&self, record: &ProcessRecord) -> bool {
        record.marks.as_ref().is_some_and(|marks| self.are_ours(marks))
    }

    /// Whether it writes where its server does, as one that inherited it: a person's command in a terminal does not,
    /// nor one that is older than the server.
    fn appends_to_our_logs(&self, record: &ProcessRecord, logs: &[FileId]) -> bool {
        let is_old = self.leader.is_some_and(|leader| record.start_ticks < leader.start_ticks);
        !is_old && !record.has_terminal && record.appends_to.iter().any(|file| logs.contains(file))
    }

    fn are_ours(&self, marks: &Marks) -> bool {
        *marks.owner == *self.owner_tag && marks.instance == self.instance.as_str()
    }
}

/// What a look at a table needs to know besides it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// What it may assume about the leader's group.
    pub(crate) trust: GroupTrust,
    /// We ourselves.
    pub(crate) own_pid: u32,
    /// The files that the workload's output goes to.
    pub(crate) logs: &'a [FileId],
}

/// One search through a table.
struct Search<'a> {
    kin: &'a Kin,
    known: &'a BTreeSet<Stamp>,
    view: &'a View<'a>,
}

impl Search<'_> {
    /// We ourselves, init, and whoever says that it is somebody else's. That one's children say the same.
    fn is_off_limits(&self, record: &ProcessRecord) -> bool {
        record.pid == self.view.own_pid || record.pid <= 1 || record.marks.as_ref().is_some_and(|marks| !self.kin.are_ours(marks))
    }

    fn is_proven(&self, record: &ProcessRecord) -> bool {
        self.kin.leader == Some(record.stamp())
            || self.known.contains(&record.stamp())
            || self.kin.carries_our_marks(record)
            || self.kin.appends_to_our_logs(record, self.view.logs)
    }
}

fn members<'table>(table: &'table [ProcessRecord], search: &Search<'_>) -> Vec<&'table ProcessRecord> {
    let mut found: HashMap<u32, &ProcessRecord> = HashMap::new();
    let mut rest: Vec<&ProcessRecord> = Vec::new();
    for record in table.iter().filter(|record| !search.is_off_limits(record)) {
        if search.is_proven(record) {
            found.insert(record.pid, record);
        } else {
            rest.push(record);
        }
    }
    let leader_group = search.kin.leader.filter(|leader| {
        // Somebody else has the number now: the group it names is somebody else's too.
        table.iter().all(|record| record.pid != leader.pid || record.stamp() == *leader)
    });
    loop {
        let group_is_ours = |group: u32| {
            let led_by_one_of_us = found.get(&group).is_some_and(|record| record.group == group);
            let is_the_leaders = leader_group.is_some_and(|leader| leader.pid == group)
                && (search.view.trust == GroupTrust::JustOrphaned || found.values().any(|record| record.group == group));
            group > 1 && (led_by_one_of_us || is_the_leaders)
        };
        let (new, others): (Vec<_>, Vec<_>) =
            rest.iter().copied().partition(|record| found.contains_key(&record.parent) || group_is_ours(record.group));
        if new.is_empty() {
            break;
        }
        found.extend(new.into_iter().map(|record| (record.pid, record)));
        rest = others;
    }
    let mut found: Vec<_> = found.into_values().collect();
    // The leader first, as it may end the others in good order; then parents before their children.
    found.sort_by_key(|record| (search.kin.leader != Some(record.stamp()), record.start_ticks, record.pid));
    found
}

/// A process that leads a workload of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundLeader {
    pub(crate) instance: InstanceName,
    pub(crate) stamp: Stamp,
    pub(crate) address: SocketAddr,
}

impl FoundLeader {
    pub(crate) fn into_discovered(self, boot_id: &str) -> DiscoveredWorkload {
        let Stamp { pid, start_ticks } = self.stamp;
        let identity = WorkloadIdentity::Process(ProcessIdentity { pid, start_ticks, boot_id: boot_id.to_owned() });
        DiscoveredWorkload { instance: self.instance, identity, address: self.address }
    }
}

/// Finds the leader of every workload that carries `owner_tag`, at most one for each instance.
///
/// A leader leads its process group and its parent does not carry the same marks. A server's orphaned grandchild
/// can look like that too, so the one that leads no session (we never make one) goes first, then the oldest.
pub(crate) fn leaders(table: &[ProcessRecord], owner_tag: &str, own_pid: u32) -> Vec<FoundLeader> {
    let marked: HashMap<u32, (&ProcessRecord, &Marks)> = table
        .iter()
        .filter(|record| record.alive && record.pid != own_pid)
        .filter_map(|record| Some((record.pid, (record, record.marks.as_ref().filter(|marks| marks.owner == owner_tag)?))))
        .collect();
    let mut candidates: Vec<_> = marked
        .values()
        .filter(|(record, marks)| {
            let parent_is_alike = marked.get(&record.parent).is_some_and(|(_, parent)| parent.instance == marks.instance);
            record.group == record.pid && !parent_is_alike
        })
        .collect();
    candidates.sort_by_key(|(record, marks)| (&marks.instance, record.session == record.pid, record.start_ticks, record.pid));
    candidates.dedup_by_key(|(_, marks)| &marks.instance);
    candidates
        .into_iter()
        .filter_map(|(record, marks)| {
            let instance = InstanceName::try_new(marks.instance.clone()).ok()?;
            let address = marks.listen.as_deref()?.parse().ok()?;
            Some(FoundLeader { instance, stamp: record.stamp(), address })
        })
        .collect()
}

#[cfg(test)]
mod tests;

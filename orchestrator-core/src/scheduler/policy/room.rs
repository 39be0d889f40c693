//! Memory and places: what instances need, what there is, and whom to unload so that one more fits.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::member::{Member, Members, Residence};
use super::terms::Rank;
use super::{MemberId, Moment, Rules};

/// A kind of memory that is shared by instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryPool {
    /// The memory of the machine.
    Host,
    /// The memory of the GPU with this number.
    Device(u32),
}

impl MemoryPool {
    /// Returns the one-word name, such as `host` or `gpu0`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Host => "host".to_owned(),
            Self::Device(index) => format!("gpu{index}"),
        }
    }
}

impl fmt::Display for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("RAM"),
            Self::Device(index) => write!(f, "memory of GPU {index}"),
        }
    }
}

/// Bytes of each kind of memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryNeed(pub BTreeMap<MemoryPool, u64>);

impl MemoryNeed {
    /// Needs this many bytes of the machine's memory, and nothing else.
    #[must_use]
    pub fn host(bytes: u64) -> Self {
        Self(BTreeMap::from([(MemoryPool::Host, bytes)]))
    }

    /// Needs this many bytes of a GPU's memory as well.
    #[must_use]
    pub fn and_device(mut self, index: u32, bytes: u64) -> Self {
        self.0.insert(MemoryPool::Device(index), bytes);
        self
    }

    /// Returns the bytes of one kind.
    #[must_use]
    pub fn of(&self, pool: MemoryPool) -> u64 {
        self.0.get(&pool).copied().unwrap_or(0)
    }
}

/// What may be held by all instances together. What is not listed is not limited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Budget {
    /// Bytes of each kind of memory.
    pub memory: BTreeMap<MemoryPool, u64>,
    /// How many instances may run at once.
    pub most_running: Option<u32>,
}

/// Why an instance cannot be loaded, whatever is unloaded for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoom {
    /// It needs more memory than it could ever get.
    Memory {
        /// The kind of memory that is short.
        pool: MemoryPool,
        /// What it needs of it, in bytes.
        need: u64,
        /// What there is for all instances, in bytes.
        budget: u64,
        /// What instances hold that are never unloaded, in bytes.
        pinned: u64,
    },
    /// All places are held by instances that are never unloaded.
    Places {
        /// How many instances may run at once.
        most: u32,
    },
}

/// What is left of the budget; less than nothing, where more is promised than there is.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    memory: BTreeMap<MemoryPool, i128>,
    places: i64,
}

impl Ledger {
    pub(super) fn full(budget: &Budget) -> Self {
        let memory = budget.memory.iter().map(|(pool, bytes)| (*pool, i128::from(*bytes))).collect();
        Self { memory, places: budget.most_running.map_or(i64::MAX / 2, i64::from) }
    }

    pub(super) fn take(&mut self, need: &MemoryNeed) {
        self.change(need, -1);
    }

    pub(super) fn give_back(&mut self, need: &MemoryNeed) {
        self.change(need, 1);
    }

    fn change(&mut self, need: &MemoryNeed, sign: i8) {
        for (pool, left) in &mut self.memory {
            *left += i128::from(need.of(*pool)) * i128::from(sign);
        }
        self.places += i64::from(sign);
    }

    pub(super) fn fits(&self, need: &MemoryNeed) -> bool {
        self.places >= 1 && self.memory.iter().all(|(pool, left)| need.of(*pool) == 0 || *left >= i128::from(need.of(*pool)))
    }

    /// Returns whether giving back `other` would help `need` to fit.
    fn is_helped_by(&self, need: &MemoryNeed, other: &MemoryNeed) -> bool {
        let is_short = |pool: MemoryPool, left: i128| need.of(pool) > 0 && left < i128::from(need.of(pool)) && other.of(pool) > 0;
        self.places < 1 || self.memory.iter().any(|(pool, left)| is_short(*pool, *left))
    }
}

/// How soon one that holds room can be made to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Readiness {
    /// At once: it is idle, and was loaded for long enough.
    Now,
    /// It is idle, and was loaded a short time ago.
    Later(Moment),
    /// It is in use, and the newcomer has the better claim: it gets no more requests.
    WhenDrained,
    /// It is loading, or in use by those with the better claim.
    Unknown,
}

/// Whom to unload so that a newcomer fits.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) victims: Vec<(MemberId, Readiness)>,
}

impl Plan {
    /// Returns whether all of it can be done at once.
    pub(super) fn is_due(&self) -> bool {
        self.victims.iter().all(|(_, readiness)| *readiness == Readiness::Now)
    }
}

/// What a plan is made from.
pub(super) struct PlanRequest<'a> {
    pub(super) members: &'a Members,
    pub(super) rules: &'a Rules,
    pub(super) need: &'a MemoryNeed,
    /// The claim of the newcomer.
    pub(super) rank: Rank,
    /// What is left when all who are leaving have left.
    pub(super) projected: &'a Ledger,
    /// Members that others are promised the room of.
    pub(super) promised: &'a [MemberId],
    pub(super) now: Moment,
}

/// Chooses the members that are done without most easily; `None` when the newcomer would not fit without all of them.
pub(super) fn plan(request: &PlanRequest<'_>, rank_of: impl Fn(MemberId) -> Option<Rank>) -> Option<Plan> {
    let PlanRequest { members, need, now, .. } = request;
    let mut candidates: Vec<(Readiness, f64, MemberId, &Member)> = members
        .iter()
        .filter(|(id, member)| member.is_resident() && !member.is_leaving() && !member.settings.pinned && !request.promised.contains(id))
        .map(|(id, member)| (readiness(request, member, rank_of(id)), member.dispensability(*now), id, member))
        .collect();
    candidates.sort_by(|a, b| class(a.0).cmp(&class(b.0)).then_with(|| b.1.total_cmp(&a.1)).then_with(|| a.2.cmp(&b.2)));
    let mut left = request.projected.clone();
    let mut chosen: Vec<(Readiness, MemberId, &Member)> = Vec::new();
    for (readiness, _, id, member) in candidates {
        if left.fits(need) {
            break;
        }
        if left.is_helped_by(need, &member.need) {
            left.give_back(&member.need);
            chosen.push((readiness, id, member));
        }
    }
    if !left.fits(need) {
        return None;
    }
    // A large one that came later may have made smaller ones needless.
    let mut victims = Vec::new();
    for (readiness, id, member) in chosen {
        let mut without = left.clone();
        without.take(&member.need);
        if without.fits(need) {
            left = without;
        } else {
            victims.push((id, readiness));
        }
    }
    Some(Plan { victims })
}

fn class(readiness: Readiness) -> u8 {
    match readiness {
        Readiness::Now => 0,
        Readiness::Later(_) => 1,
        Readiness::WhenDrained => 2,
        Readiness::Unknown => 3,
    }
}

fn readiness(request: &PlanRequest<'_>, member: &Member, waiting: Option<Rank>) -> Readiness {
    let (rules, now) = (request.rules, request.now);
    match member.residence {
        Residence::Ready { .. } | Residence::Unwell { .. } => {}
        Residence::Away { .. } | Residence::Coming { .. } | Residence::Asking(_) | Residence::Loading { .. } | Residence::Leaving => {
            return Readiness::Unknown;
        }
    }
    if member.holds > 0 {
        return Readiness::Unknown;
    }
    let residency_end = member.residency_end(rules.residency).unwrap_or(now);
    let is_in_use = member.in_flight > 0 || waiting.is_some();
    if residency_end > now {
        return if is_in_use { Readiness::Unknown } else { Readiness::Later(residency_end) };
    }
    // Those who asked before the newcomer are served first, but not for longer than a turn.
    let turn_is_over = member.ready_since().is_some_and(|since| since + rules.turn <= now) && request.rank.since + rules.turn <= now;
    if waiting.is_some_and(|waiting| waiting <= request.rank) && !turn_is_over {
        Readiness::Unknown
    } else if member.in_flight > 0 {
        Readiness::WhenDrained
    } else {
        Readiness::Now
    }
}

/// Says why an instance can never be loaded; `None` when it could be.
pub(super) fn no_room(budget: &Budget, members: &Members, id: MemberId, need: &MemoryNeed) -> Option<NoRoom> {
    let pinned = || members.iter().filter(|(other, member)| *other != id && member.settings.pinned && member.is_resident());
    if let Some(most) = budget.most_running
        && pinned().count() >= usize::try_from(most).unwrap_or(usize::MAX)
    {
        return Some(NoRoom::Places { most });
    }
    budget.memory.iter().find_map(|(pool, limit)| {
        let pinned = pinned().map(|(_, member)| member.need.of(*pool)).fold(0, u64::saturating_add);
        let need = need.of(*pool);
        let never = need > 0 && need > limit.saturating_sub(pinned);
        never.then_some(NoRoom::Memory { pool: *pool, need, budget: *limit, pinned })
    })
}

//! The words of the policy: what it is told, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientId, MemoryNeed, MemoryPool, NoRoom};
use crate::runtime::RuntimeKind;

/// A moment, as the time since the scheduler began. The wall clock has no say.
pub type Moment = Duration;

/// The number of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(crate) usize);

/// The number of a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// How good a claim is: the older the better, and each step of priority makes it older. It does not change while it
/// waits, so whoever waits is overtaken by no more than those with a higher priority that ask within a bounded time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// In nanoseconds.
    aged: i128,
    pub(super) since: Moment,
}

impl Rank {
    pub(super) fn of(since: Moment, priority: i32, ageing: Duration) -> Self {
        let nanoseconds = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 4);
        Self { aged: nanoseconds(since) - i128::from(priority).saturating_mul(nanoseconds(ageing)), since }
    }
}

/// How one of several instances is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The one with the fewest requests in flight; among equals each in turn.
    #[default]
    LeastBusy,
    /// Each in turn.
    RoundRobin,
}

/// The rules of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// For how long an instance is not unloaded for another one after it became ready; as long as its load took (at
    /// most a minute), when it is `None`.
    pub residency: Option<Duration>,
    /// For how long those who asked earlier keep an instance loaded that another one must leave for.
    pub turn: Duration,
    /// The wait that is worth one step of priority.
    pub ageing: Duration,
    /// How one of several instances is chosen.
    pub balance: Balance,
}

impl Default for Rules {
    fn default() -> Self {
        Self { residency: None, turn: Duration::from_secs(30), ageing: Duration::from_secs(10), balance: Balance::default() }
    }
}

/// A request that asks to be let in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The instances that can serve it; one or more.
    pub target: Arc<[MemberId]>,
    /// Who asks.
    pub client: ClientId,
    /// Higher first.
    pub priority: i32,
    /// The kind of engine whose active instance it asks for, whichever that is when its turn comes.
    pub follows: Option<RuntimeKind>,
}

/// What becomes of a request that asked to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// This instance serves it now.
    Granted(MemberId),
    /// It waits. An [`Effect`] with this ticket will tell.
    Queued(Ticket),
    /// It is turned away.
    Refused(Refusal),
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Too many wait already.
    QueueFull {
        /// How many wait.
        waiting: usize,
        /// How long one more would have to wait, as far as that can be told.
        wait: Option<Duration>,
    },
    /// It waited for as long as it may.
    WaitedTooLong {
        /// For how long.
        waited: Duration,
        /// How long it would have to wait from now on, as far as that can be told.
        wait: Option<Duration>,
    },
    /// None of the instances can run now; each one's state tells why.
    NotServing,
    /// There is no room for the instance, whatever is unloaded.
    NoRoom(NoRoom),
}

/// What an instance's task has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Nothing runs, and nothing is wrong.
    Stopped,
    /// It prepares a start; it will ask for room.
    Starting,
    /// Its server runs and is not ready.
    Loading,
    /// Its server is ready.
    Ready,
    /// Its server does not answer well.
    Unhealthy,
    /// Its server is being ended.
    Stopping,
    /// Nothing runs, and it will start again by itself.
    Backoff,
    /// Nothing runs, and a person must look at it.
    Failed,
}

/// Why an instance is unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// This one needs its room.
    Room {
        /// The newcomer.
        newcomer: MemberId,
    },
    /// Nobody asked for it for longer than its `ttl`.
    Idle,
}

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Let this request in.
    Grant {
        /// The request.
        ticket: Ticket,
        /// Who serves it.
        member: MemberId,
    },
    /// Turn this request away.
    Refuse {
        /// The request.
        ticket: Ticket,
        /// Why.
        refusal: Refusal,
    },
    /// Have this instance started: requests wait for it.
    Summon(MemberId),
    /// Tell an instance that asked for room that it need not start after all.
    CallOff(MemberId),
    /// Tell an instance that asked for room that it may start.
    Permit {
        /// The instance.
        member: MemberId,
        /// Whether the machine does not have the memory free that it should have.
        is_short: bool,
    },
    /// Tell an instance that asked for room that there is none.
    Deny {
        /// The instance.
        member: MemberId,
        /// Why not.
        reason: NoRoom,
    },
    /// Unload an instance.
    Evict {
        /// The instance.
        member: MemberId,
        /// Why.
        why: Eviction,
    },
    /// Look how much memory the machine has free, and tell by [`Policy::read`].
    Look,
}

/// What the machine has free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// When the look began.
    pub at: Moment,
    /// The bytes that are free, where that can be seen.
    pub free: BTreeMap<MemoryPool, u64>,
    /// What those that were loading had taken of their memory by then, where that can be seen.
    pub taken: BTreeMap<MemberId, MemoryNeed>,
}

/// What was counted since the scheduler began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Requests that were let in.
    pub granted: u64,
    /// Requests that were let in after they had waited.
    pub granted_after_wait: u64,
    /// How long those had waited, together.
    pub waited: Duration,
    /// Requests that were turned away.
    pub refused: u64,
    /// Instances that were unloaded to make room.
    pub evicted_for_room: u64,
    /// Instances that were unloaded because nobody used them.
    pub evicted_idle: u64,
    /// Instances that were given room.
    pub loads: u64,
}

/// One instance, as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Requests it serves now.
    pub in_flight: u32,
    /// Requests that wait for it.
    pub waiting: usize,
    /// What it holds, or asks for.
    pub memory: MemoryNeed,
    /// Whether it asks for room and did not get it yet.
    pub waits_for_room: bool,
    /// Whether it gets no more requests until it is unloaded.
    pub is_closing: bool,
}

impl MemberView {
    /// Returns what it holds or asks for, in MiB by the name of the kind of memory.
    #[must_use]
    pub fn memory_mb(&self) -> BTreeMap<String, u64> {
        self.memory.0.iter().map(|(pool, bytes)| (pool.name(), bytes.div_ceil(1024 * 1024))).collect()
    }
}

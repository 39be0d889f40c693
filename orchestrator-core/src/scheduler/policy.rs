//! Which requests are served by which instance, and which instances are loaded, decided without a clock, a task or a
//! lock of its own: what happens is told by method calls that carry the moment, what is to be done stands in
//! [`Policy::take_effects`].
//!
//! - A request for an instance that is ready and has a place is let in at once. Any other waits in the queue of what
//!   it asked for ([`queue`]); a full queue refuses it, with an estimate of the wait.
//! - What waits for an instance that is away has it summoned; the instance looks at its model and asks for room
//!   ([`member`] shows its states). Room is given in the order of the claims: the oldest request first, where each step
//!   of priority is worth `ageing`. Nobody with a lesser claim gets room that one with a better claim waits for.
//! - Room is made by unloading ([`room`]): never what is loading, has a request in flight, is pinned, or was loaded so
//!   recently that its load was not earned back; first what was not used for long and is cheap to load again.
//! - An instance in use is closed to new requests when one with a better claim than all that wait for it needs its room:
//!   it drains, and is unloaded then.
//! - An instance starts only when the machine itself says that the memory is free, or has said otherwise for
//!   [`LONGEST_SHORTAGE`].

mod member;
mod queue;
mod room;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use member::MemberSettings;
pub use queue::ClientId;
pub use room::{Budget, MemoryNeed, MemoryPool, NoRoom};

use crate::runtime::RuntimeKind;
use member::{Asking, Member, Members, Residence, Trouble};
use queue::{Queue, Waiter};
use room::{Ledger, PlanRequest, Readiness};

/// A moment, as the time since the scheduler began. The wall clock has no say.
pub type Moment = Duration;

/// How long memory that should be free may not be: then the instance starts all the same.
const LONGEST_SHORTAGE: Duration = Duration::from_secs(5);
/// How soon memory that should be free is looked at again.
const NEXT_LOOK: Duration = Duration::from_millis(50);
/// How long an instance that found no room beside others of its kind is not summoned for that again.
const NEXT_EXPANSION: Duration = Duration::from_secs(30);

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
    since: Moment,
}

impl Rank {
    fn of(since: Moment, priority: i32, ageing: Duration) -> Self {
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
    /// Whether nothing is unloaded for now.
    pub evictions_paused: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            residency: None,
            turn: Duration::from_secs(30),
            ageing: Duration::from_secs(10),
            balance: Balance::default(),
            evictions_paused: false,
        }
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

/// Decides. See the module's description.
#[derive(Debug)]
pub struct Policy {
    budget: Budget,
    rules: Rules,
    members: Members,
    /// Those in which somebody waits.
    queues: Vec<Queue>,
    reading: Option<Reading>,
    /// A reading from before this moment says nothing: memory was given back since.
    stale_before: Moment,
    /// When the machine is looked at next, while something waits for memory that should be free.
    next_look: Option<Moment>,
    is_looking: bool,
    next_ticket: u64,
    next_turn: u64,
    counters: Counters,
    effects: Vec<Effect>,
}

impl Policy {
    /// Begins with nothing loaded.
    #[must_use]
    pub fn new(budget: Budget, rules: Rules) -> Self {
        Self {
            budget,
            rules,
            members: Members::default(),
            queues: Vec::new(),
            reading: None,
            stale_before: Moment::ZERO,
            next_look: None,
            is_looking: false,
            next_ticket: 0,
            next_turn: 0,
            counters: Counters::default(),
            effects: Vec::new(),
        }
    }

    /// Returns what is to be done, in order, and forgets it.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Returns whether something is to be done.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Takes in an instance that does not run.
    pub fn enrol(&mut self, settings: MemberSettings, now: Moment) -> MemberId {
        self.members.enrol(Member::new(settings, now))
    }

    /// Takes in an instance that runs already and holds `need`, whether or not that fits.
    pub fn enrol_running(&mut self, settings: MemberSettings, need: MemoryNeed, now: Moment) -> MemberId {
        let mut member = Member::new(settings, now);
        member.need = need;
        member.residence = Residence::Loading { since: now };
        self.members.enrol(member)
    }

    /// Takes over other settings of an instance.
    pub fn configure(&mut self, id: MemberId, settings: MemberSettings, now: Moment) {
        let Some(member) = self.members.get_mut(id) else { return };
        if member.settings != settings {
            member.settings = settings;
            self.pump(now);
        }
    }

    /// Takes over other rules and another budget.
    pub fn reconfigure(&mut self, budget: Budget, rules: Rules, now: Moment) {
        self.budget = budget;
        self.rules = rules;
        self.pump(now);
    }

    /// Lets nothing be unloaded for a while, or lets it again.
    pub fn pause_evictions(&mut self, paused: bool, now: Moment) {
        self.rules.evictions_paused = paused;
        self.pump(now);
    }

    /// Forgets an instance.
    pub fn dismiss(&mut self, id: MemberId, now: Moment) {
        self.members.dismiss(id);
        self.refuse_hopeless();
        self.pump(now);
    }

    /// Asks for a request to be let in.
    pub fn arrive(&mut self, arrival: &Arrival, now: Moment) -> Admission {
        let waits = self.queues.iter().any(|queue| queue.target == arrival.target);
        if !waits && let Some(id) = self.with_place(&arrival.target) {
            self.counters.granted += 1;
            self.begin(id, now);
            return Admission::Granted(id);
        }
        if !self.is_promising(&arrival.target) {
            self.counters.refused += 1;
            return Admission::Refused(Refusal::NotServing);
        }
        let waiting = self.queues.iter().find(|queue| queue.target == arrival.target).map_or(0, Queue::len);
        let settings = || arrival.target.iter().filter_map(|id| self.members.get(*id)).map(|member| &member.settings);
        if waiting >= settings().map(|settings| settings.queue_depth).max().unwrap_or(0) {
            self.counters.refused += 1;
            return Admission::Refused(Refusal::QueueFull { waiting, wait: self.estimate(&arrival.target, waiting, now) });
        }
        let longest_wait = settings().map(|settings| settings.longest_wait).max().unwrap_or_default();
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let Arrival { target, client, priority } = arrival;
        let waiter = Waiter { ticket, client: *client, priority: *priority, since: now, deadline: now.saturating_add(longest_wait) };
        match self.queues.iter_mut().find(|queue| queue.target == *target) {
            Some(queue) => queue.push(waiter),
            None => {
                let mut queue = Queue::new(target.clone());
                queue.push(waiter);
                self.queues.push(queue);
            }
        }
        self.pump(now);
        Admission::Queued(ticket)
    }

    /// Forgets a request that waits: its client went away.
    pub fn abandon(&mut self, ticket: Ticket, now: Moment) {
        if self.queues.iter_mut().any(|queue| queue.remove(ticket)) {
            self.pump(now);
        }
    }

    /// Takes back the place of a request that was let in.
    pub fn finish(&mut self, id: MemberId, took: Duration, now: Moment) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.in_flight = member.in_flight.saturating_sub(1);
        member.last_used = now;
        member.service_time = Some(smoothed(member.service_time, took));
        if !self.queues.is_empty() || self.somebody_asks() {
            self.pump(now);
        }
    }

    /// Takes note of what an instance's task has become.
    pub fn observe(&mut self, id: MemberId, observation: Observation, now: Moment) {
        let Some(member) = self.members.get_mut(id) else { return };
        let was_resident = member.is_resident();
        let residence = match (observation, &member.residence) {
            (Observation::Stopped, _) => Residence::Away { trouble: None },
            (Observation::Backoff, _) => Residence::Away { trouble: Some(Trouble::Backoff) },
            (Observation::Failed, _) => Residence::Away { trouble: Some(Trouble::Failed) },
            // Its own question for room follows.
            (Observation::Starting, Residence::Asking(_) | Residence::Loading { .. }) => return,
            (Observation::Starting, _) => Residence::Coming { since: now },
            (Observation::Loading | Observation::Ready | Observation::Unhealthy, Residence::Leaving) => return,
            (Observation::Loading, Residence::Loading { .. }) => return,
            (Observation::Loading, _) => Residence::Loading { since: now },
            (Observation::Ready, Residence::Ready { .. }) => return,
            (Observation::Ready, Residence::Unwell { since }) => Residence::Ready { since: *since },
            (Observation::Ready, residence) => {
                if let Residence::Loading { since } = residence {
                    member.load_time = Some(smoothed(member.load_time, now.saturating_sub(*since)));
                }
                member.last_used = now;
                Residence::Ready { since: now }
            }
            (Observation::Unhealthy, Residence::Ready { since } | Residence::Unwell { since }) => Residence::Unwell { since: *since },
            (Observation::Unhealthy, _) => Residence::Unwell { since: now },
            (Observation::Stopping, _) => Residence::Leaving,
        };
        if matches!(residence, Residence::Away { .. }) {
            member.forget_calls();
        }
        member.residence = residence;
        if !member.is_resident() {
            member.is_closing = false;
            if was_resident {
                self.stale_before = now;
            }
        }
        self.refuse_hopeless();
        self.pump(now);
    }

    /// Asks for room for an instance that is about to start. An [`Effect`] will tell.
    pub fn ask(&mut self, id: MemberId, need: MemoryNeed, now: Moment) {
        let Some(member) = self.members.get_mut(id) else { return };
        let since = match member.residence {
            Residence::Coming { since } => since,
            _ => now,
        };
        if !member.is_summoned {
            // A person wants it, or it starts again by itself.
            member.wish.get_or_insert(since);
        }
        member.residence = Residence::Asking(Asking { need, since, short_since: None });
        self.pump(now);
    }

    /// Says that somebody wants an instance to run, besides the requests that wait for it.
    pub fn wish(&mut self, id: MemberId, now: Moment) {
        if let Some(member) = self.members.get_mut(id) {
            member.wish.get_or_insert(now);
            member.is_expansion = false;
            self.pump(now);
        }
    }

    /// Takes back a question for room.
    pub fn withdraw(&mut self, id: MemberId, now: Moment) {
        if let Some(member) = self.members.get_mut(id)
            && matches!(member.residence, Residence::Asking(_))
        {
            member.residence = Residence::Away { trouble: None };
            member.forget_calls();
            self.pump(now);
        }
    }

    /// Keeps requests away from an instance until [`Policy::release`]; what it serves goes on.
    pub fn hold(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(id) {
            member.holds += 1;
        }
    }

    /// Lets requests reach an instance again.
    pub fn release(&mut self, id: MemberId, now: Moment) {
        if let Some(member) = self.members.get_mut(id) {
            member.holds = member.holds.saturating_sub(1);
            member.last_used = now;
            self.pump(now);
        }
    }

    /// Takes note of what the machine has free.
    pub fn read(&mut self, reading: Reading, now: Moment) {
        self.is_looking = false;
        self.next_look = None;
        self.reading = Some(reading);
        if self.somebody_asks() {
            self.pump(now);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Moment) {
        self.pump(now);
    }

    /// Returns when [`Policy::tick`] is due, if nothing happens before.
    #[must_use]
    pub fn next_due(&self, now: Moment) -> Option<Moment> {
        let deadlines = self.queues.iter().filter_map(Queue::first_deadline);
        let unloads = !self.rules.evictions_paused;
        let idle = self.members.iter().filter(|_| unloads).filter_map(|(_, member)| member.idle_end(now));
        let contended = self.somebody_asks();
        let turns = self.members.iter().filter(|_| contended).filter_map(|(_, member)| {
            let ready_since = member.ready_since()?;
            let residency = member.residency_end(self.rules.residency).filter(|end| *end > now);
            [residency, Some(ready_since + self.rules.turn).filter(|end| *end > now)].into_iter().flatten().min()
        });
        let waits = self.asking().filter_map(|(_, asking)| Some(asking.since + self.rules.turn).filter(|end| *end > now));
        deadlines.chain(idle).chain(turns).chain(waits).chain(self.next_look).min()
    }

    /// Returns how an instance does.
    #[must_use]
    pub fn view(&self, id: MemberId) -> Option<MemberView> {
        let member = self.members.get(id)?;
        let asked = match &member.residence {
            Residence::Asking(asking) => Some(asking.need.clone()),
            _ => None,
        };
        Some(MemberView {
            in_flight: member.in_flight,
            waiting: self.queues.iter().filter(|queue| queue.target.contains(&id)).map(Queue::len).sum(),
            waits_for_room: asked.is_some(),
            memory: asked.unwrap_or_else(|| member.need.clone()),
            is_closing: member.is_closing,
        })
    }

    /// Returns what was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the instances that are loading: a [`Reading`] tells what they have taken already.
    pub fn loading(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members.iter().filter(|(_, member)| matches!(member.residence, Residence::Loading { .. })).map(|(id, _)| id)
    }

    /// Returns the instances with this kind of engine.
    pub fn of_runtime(&self, runtime: RuntimeKind) -> impl Iterator<Item = MemberId> + '_ {
        self.members.iter().filter(move |(_, member)| member.settings.runtime == runtime).map(|(id, _)| id)
    }

    /// Everything that may have become possible is done.
    fn pump(&mut self, now: Moment) {
        self.expire(now);
        self.grant(now);
        self.unload_idle(now);
        self.summon(now);
        self.give_room(now);
        // A look that nobody wanted any more when it was due.
        self.next_look = self.next_look.filter(|next| *next > now);
        self.queues.retain(|queue| !queue.is_empty());
    }

    fn expire(&mut self, now: Moment) {
        let mut expired = Vec::new();
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if queue.first_deadline().is_some_and(|deadline| deadline <= now) {
                expired.extend(queue.take_expired(now).into_iter().map(|(ticket, since)| (index, ticket, since)));
            }
        }
        for (index, ticket, since) in expired {
            let wait = self.estimate(&self.queues[index].target, self.queues[index].len(), now);
            let refusal = Refusal::WaitedTooLong { waited: now.saturating_sub(since), wait };
            self.refuse(ticket, refusal);
        }
    }

    fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.counters.refused += 1;
        self.effects.push(Effect::Refuse { ticket, refusal });
    }

    /// Lets in whoever waits for an instance that has a place, the best claim first.
    fn grant(&mut self, now: Moment) {
        let ageing = self.rules.ageing;
        loop {
            let next = self
                .queues
                .iter()
                .enumerate()
                .filter_map(|(index, queue)| Some((queue.rank(ageing)?, index, self.with_place(&queue.target)?)))
                .min();
            let Some((_, index, id)) = next else { return };
            let Some(waiter) = self.queues[index].pop(now, ageing) else { return };
            self.begin(id, now);
            self.counters.granted += 1;
            self.counters.granted_after_wait += 1;
            self.counters.waited += now.saturating_sub(waiter.since);
            self.effects.push(Effect::Grant { ticket: waiter.ticket, member: id });
        }
    }

    fn begin(&mut self, id: MemberId, now: Moment) {
        self.next_turn += 1;
        let turn = self.next_turn;
        if let Some(member) = self.members.get_mut(id) {
            member.in_flight += 1;
            member.last_used = now;
            member.last_turn = turn;
        }
    }

    fn with_place(&self, target: &[MemberId]) -> Option<MemberId> {
        let open = target.iter().filter_map(|id| Some((*id, self.members.get(*id).filter(|member| member.has_place())?)));
        match self.rules.balance {
            Balance::LeastBusy => open.min_by_key(|(_, member)| (member.in_flight, member.last_turn)),
            Balance::RoundRobin => open.min_by_key(|(_, member)| member.last_turn),
        }
        .map(|(id, _)| id)
    }

    fn is_promising(&self, target: &[MemberId]) -> bool {
        target.iter().filter_map(|id| self.members.get(*id)).any(Member::is_promising)
    }

    /// Turns away those who wait for nothing but instances that cannot run.
    fn refuse_hopeless(&mut self) {
        for index in 0..self.queues.len() {
            if !self.is_promising(&self.queues[index].target) {
                for (ticket, _) in self.queues[index].take_all() {
                    self.refuse(ticket, Refusal::NotServing);
                }
            }
        }
    }

    fn unload_idle(&mut self, now: Moment) {
        let idle: Vec<MemberId> = self
            .members
            .iter()
            .filter(|(_, member)| !self.rules.evictions_paused && member.idle_end(now).is_some_and(|end| end <= now))
            .map(|(id, _)| id)
            .collect();
        for id in idle {
            self.evict(id, Eviction::Idle);
        }
    }

    fn evict(&mut self, id: MemberId, why: Eviction) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.residence = Residence::Leaving;
        member.wish = None;
        match why {
            Eviction::Room { .. } => self.counters.evicted_for_room += 1,
            Eviction::Idle => self.counters.evicted_idle += 1,
        }
        self.effects.push(Effect::Evict { member: id, why });
    }

    /// Has instances started that requests wait for.
    fn summon(&mut self, now: Moment) {
        for index in 0..self.queues.len() {
            if self.queues[index].is_empty() {
                continue;
            }
            let target = self.queues[index].target.clone();
            let members = || target.iter().filter_map(|id| Some((*id, self.members.get(*id)?)));
            let is_away = |member: &Member| matches!(member.residence, Residence::Away { trouble: None }) && member.holds == 0;
            let serves = |member: &Member| member.is_promising() && !matches!(member.residence, Residence::Away { .. });
            let is_full = |member: &Member| matches!(member.residence, Residence::Ready { .. }) && !member.is_closing;
            let is_expansion = members().any(|(_, member)| serves(member));
            if is_expansion && members().any(|(_, member)| serves(member) && !is_full(member)) {
                // One is on its way, or will be back.
                continue;
            }
            let startable = members().filter(|(_, member)| is_away(member) && (!is_expansion || member.no_expansion_before <= now));
            let Some((id, _)) = startable.min_by_key(|(id, member)| (std::cmp::Reverse(member.settings.priority), *id)) else { continue };
            if let Some(member) = self.members.get_mut(id) {
                member.residence = Residence::Coming { since: now };
                member.is_summoned = true;
                member.is_expansion = is_expansion;
                self.effects.push(Effect::Summon(id));
            }
        }
    }

    fn asking(&self) -> impl Iterator<Item = (MemberId, &Asking)> {
        self.members.iter().filter_map(|(id, member)| match &member.residence {
            Residence::Asking(asking) => Some((id, asking)),
            _ => None,
        })
    }

    fn somebody_asks(&self) -> bool {
        self.asking().next().is_some()
    }

    /// Returns the best claim of those who wait for an instance.
    fn waiting_rank(&self, id: MemberId) -> Option<Rank> {
        self.queues.iter().filter(|queue| queue.target.contains(&id)).filter_map(|queue| queue.rank(self.rules.ageing)).min()
    }

    /// Gives room to those who ask for it, the best claim first, and has others unloaded for them.
    fn give_room(&mut self, now: Moment) {
        let mut demands: Vec<(Rank, MemberId)> = Vec::new();
        let mut needless = Vec::new();
        for (id, _) in self.asking() {
            let wish = self.members.get(id).and_then(|member| member.wish_rank(self.rules.ageing));
            match [wish, self.waiting_rank(id)].into_iter().flatten().min() {
                Some(rank) => demands.push((rank, id)),
                None => needless.push(id),
            }
        }
        for id in needless {
            self.call_off(id);
        }
        demands.sort_unstable();
        let (mut free, mut projected) = self.ledgers();
        let mut promised = Promised::default();
        for (rank, id) in demands {
            let Some((member, asking)) = self.members.get(id).and_then(|member| match &member.residence {
                Residence::Asking(asking) => Some((member, asking)),
                _ => None,
            }) else {
                continue;
            };
            let need = asking.need.clone();
            if let Some(reason) = room::no_room(&self.budget, &self.members, id, &need) {
                self.deny(id, reason);
            } else if free.fits(&need) && projected.fits(&need) {
                if self.permit_if_free(id, &need, now) {
                    free.take(&need);
                }
                projected.take(&need);
            } else if member.is_expansion {
                if let Some(member) = self.members.get_mut(id) {
                    member.no_expansion_before = now + NEXT_EXPANSION;
                }
                self.call_off(id);
            } else {
                if !projected.fits(&need) {
                    self.plan_for(Demand { id, rank, need: &need }, &mut projected, &mut promised, now);
                }
                projected.take(&need);
            }
        }
        let mut reopened = false;
        for (id, member) in self.members.iter_mut() {
            let closes = promised.draining.contains(&id) && matches!(member.residence, Residence::Ready { .. } | Residence::Unwell { .. });
            reopened |= member.is_closing && !closes && member.is_resident();
            member.is_closing = closes;
        }
        if reopened {
            self.grant(now);
        }
    }

    /// Returns what is free now, and what will be when all who are leaving have left.
    fn ledgers(&self) -> (Ledger, Ledger) {
        let mut free = Ledger::full(&self.budget);
        let mut projected = free.clone();
        for (_, member) in self.members.iter().filter(|(_, member)| member.is_resident()) {
            free.take(&member.need);
            if !member.is_leaving() {
                projected.take(&member.need);
            }
        }
        (free, projected)
    }

    /// Unloads others for a newcomer, or has them drain first.
    fn plan_for(&mut self, demand: Demand<'_>, projected: &mut Ledger, promised: &mut Promised, now: Moment) {
        let Demand { id, rank, need } = demand;
        let request = PlanRequest { members: &self.members, rules: &self.rules, need, rank, projected, promised: &promised.rooms, now };
        let Some(plan) = room::plan(&request, |member| self.waiting_rank(member)) else { return };
        let is_due = plan.is_due();
        for (victim, readiness) in plan.victims {
            if let Some(member) = self.members.get(victim) {
                projected.give_back(&member.need);
            }
            promised.rooms.push(victim);
            match readiness {
                Readiness::Now if is_due => self.evict(victim, Eviction::Room { newcomer: id }),
                Readiness::WhenDrained => promised.draining.push(victim),
                // It waits for the others, or for its own time; requests may still reach it.
                Readiness::Now | Readiness::Later(_) | Readiness::Unknown => {}
            }
        }
    }

    fn call_off(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(id) {
            member.residence = Residence::Away { trouble: None };
            member.forget_calls();
            self.effects.push(Effect::CallOff(id));
        }
    }

    fn deny(&mut self, id: MemberId, reason: NoRoom) {
        if let Some(member) = self.members.get_mut(id) {
            member.residence = Residence::Away { trouble: Some(Trouble::Failed) };
            member.forget_calls();
        }
        for index in 0..self.queues.len() {
            if !self.is_promising(&self.queues[index].target) {
                for (ticket, _) in self.queues[index].take_all() {
                    self.refuse(ticket, Refusal::NoRoom(reason.clone()));
                }
            }
        }
        self.effects.push(Effect::Deny { member: id, reason });
    }

    /// Lets an instance start for which there is room, if the machine agrees. Returns whether it was let.
    fn permit_if_free(&mut self, id: MemberId, need: &MemoryNeed, now: Moment) -> bool {
        let is_fresh = self.reading.as_ref().is_some_and(|reading| reading.at >= self.stale_before);
        let is_free = self.machine_has(need);
        let Some(member) = self.members.get_mut(id) else { return false };
        let Residence::Asking(asking) = &mut member.residence else { return false };
        let shortage = match (is_fresh, is_free) {
            (true, true) => None,
            // Whoever gave memory back meanwhile may take a while as well.
            (true, false) => Some((*asking.short_since.get_or_insert(now)).max(self.stale_before)),
            // It says nothing yet.
            (false, _) => Some(now),
        };
        if let Some(since) = shortage
            && now.saturating_sub(since) < LONGEST_SHORTAGE
        {
            self.look(is_fresh, now);
            return false;
        }
        member.need = need.clone();
        member.residence = Residence::Loading { since: now };
        member.permitted_at = now;
        member.forget_calls();
        self.counters.loads += 1;
        self.effects.push(Effect::Permit { member: id, is_short: shortage.is_some() });
        true
    }

    /// Returns whether the machine has so much free, beside what others were promised and have not taken yet.
    fn machine_has(&self, need: &MemoryNeed) -> bool {
        let Some(reading) = &self.reading else { return true };
        let promised_to = |id: MemberId, member: &Member, pool: MemoryPool| {
            let is_loading = matches!(member.residence, Residence::Loading { .. });
            if member.permitted_at >= reading.at {
                member.need.of(pool)
            } else if is_loading {
                member.need.of(pool).saturating_sub(reading.taken.get(&id).map_or(0, |taken| taken.of(pool)))
            } else {
                0
            }
        };
        need.0.iter().all(|(pool, bytes)| {
            let residents = self.members.iter().filter(|(_, member)| member.is_resident());
            let promised = residents.map(|(id, member)| promised_to(id, member, *pool)).fold(0, u64::saturating_add);
            reading.free.get(pool).is_none_or(|free| free.saturating_sub(promised) >= *bytes)
        })
    }

    /// Has the machine looked at: at once, or in a while when it was just looked at.
    fn look(&mut self, again: bool, now: Moment) {
        if self.is_looking {
            return;
        }
        if again && self.next_look.is_none_or(|next| next > now) {
            self.next_look.get_or_insert(now + NEXT_LOOK);
            return;
        }
        self.next_look = None;
        self.is_looking = true;
        self.effects.push(Effect::Look);
    }

    /// Estimates how long one more request would wait.
    fn estimate(&self, target: &[MemberId], waiting: usize, now: Moment) -> Option<Duration> {
        let members = || target.iter().filter_map(|id| self.members.get(*id)).filter(|member| member.is_promising());
        let service = members().filter_map(|member| member.service_time).min();
        let until_ready = members()
            .map(|member| match member.residence {
                Residence::Ready { .. } => Some(Duration::ZERO),
                Residence::Loading { since } => Some(member.load_time?.saturating_sub(now.saturating_sub(since))),
                _ => member.load_time,
            })
            .min()
            .flatten();
        let places: u32 = members().map(|member| member.settings.concurrency.unwrap_or(member.in_flight.max(1))).sum();
        let ahead = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_add(1);
        let serving = service.map(|service| service.saturating_mul(ahead) / places.max(1));
        match (until_ready, serving) {
            (None, None) => None,
            (until_ready, serving) => Some(until_ready.unwrap_or_default() + serving.unwrap_or_default()),
        }
    }
}

/// An instance that needs room.
struct Demand<'a> {
    id: MemberId,
    rank: Rank,
    need: &'a MemoryNeed,
}

/// Whose room is promised to somebody with a better claim.
#[derive(Default)]
struct Promised {
    rooms: Vec<MemberId>,
    /// Those that get no more requests.
    draining: Vec<MemberId>,
}

fn smoothed(before: Option<Duration>, sample: Duration) -> Duration {
    before.map_or(sample, |before| (before * 7 + sample) / 8)
}

#[cfg(test)]
mod tests;

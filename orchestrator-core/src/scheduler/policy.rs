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
//! - An instance that fails its requests is shunned for a while: another one that serves the same is preferred, even where it
//!   must be waited for.
//! - An instance starts only when the machine itself says that the memory is free, or has said otherwise for
//!   [`giving::LONGEST_SHORTAGE`].

mod giving;
mod member;
mod pump;
mod queue;
mod room;
mod terms;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use member::MemberSettings;
pub use queue::ClientId;
pub use room::{Budget, MemoryNeed, MemoryPool, NoRoom};
pub use terms::{
    Admission, Arrival, Balance, Counters, Effect, Eviction, MemberId, MemberView, Moment, Observation, Reading, Refusal, Rules, Ticket,
};

use crate::runtime::RuntimeKind;
use member::{Asking, Member, Members, Residence, Trouble};
use queue::{Queue, Waiter};

/// Decides. See the module's description.
#[derive(Debug)]
pub struct Policy {
    budget: Budget,
    rules: Rules,
    members: Members,
    /// Those in which somebody waits.
    queues: Vec<Queue>,
    /// Where requests are served that ask for the active instance of a kind of engine, once one was chosen.
    active: BTreeMap<RuntimeKind, Arc<[MemberId]>>,
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
            active: BTreeMap::new(),
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

    /// Forgets an instance.
    pub fn dismiss(&mut self, id: MemberId, now: Moment) {
        self.members.dismiss(id);
        self.refuse_hopeless();
        self.pump(now);
    }

    /// Asks for a request to be let in.
    pub fn arrive(&mut self, arrival: &Arrival, now: Moment) -> Admission {
        let is_there = |target: &&Arc<[MemberId]>| target.iter().any(|id| self.members.get(*id).is_some());
        let moved = arrival.follows.and_then(|runtime| self.active.get(&runtime)).filter(is_there);
        if let Some(target) = moved.cloned() {
            return self.arrive_at(&Arrival { target, ..arrival.clone() }, now);
        }
        self.arrive_at(arrival, now)
    }

    fn arrive_at(&mut self, arrival: &Arrival, now: Moment) -> Admission {
        let waits = self.queues.iter().any(|queue| queue.target == arrival.target);
        if !waits && let Some(id) = self.with_place(&arrival.target, now) {
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
        let Arrival { target, client, priority, follows } = arrival;
        let deadline = now.saturating_add(longest_wait);
        let waiter = Waiter { ticket, client: *client, priority: *priority, since: now, deadline, follows: *follows };
        self.enqueue(target, waiter);
        self.pump(now);
        Admission::Queued(ticket)
    }

    fn enqueue(&mut self, target: &Arc<[MemberId]>, waiter: Waiter) {
        if let Some(queue) = self.queues.iter_mut().find(|queue| queue.target == *target) {
            queue.push(waiter);
        } else {
            let mut queue = Queue::new(target.clone());
            queue.push(waiter);
            self.queues.push(queue);
        }
    }

    /// Makes an instance the active one of its kind of engine: whoever waits for the active one waits for this one from now on,
    /// as long as before.
    pub fn activate(&mut self, runtime: RuntimeKind, target: Arc<[MemberId]>, now: Moment) {
        let followers: Vec<Waiter> =
            self.queues.iter_mut().filter(|queue| queue.target != target).flat_map(|queue| queue.take_followers(runtime)).collect();
        for waiter in followers {
            self.enqueue(&target, waiter);
        }
        self.queues.retain(|queue| !queue.is_empty());
        self.active.insert(runtime, target);
        self.pump(now);
    }

    /// Forgets a request that waits: its client went away.
    pub fn abandon(&mut self, ticket: Ticket, now: Moment) {
        if self.queues.iter_mut().any(|queue| queue.remove(ticket)) {
            self.pump(now);
        }
    }

    /// Counts a request that is under way although nobody asked here.
    pub fn occupy(&mut self, id: MemberId, now: Moment) {
        self.begin(id, now);
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
            // Its own question for room follows, and nothing else is new.
            (Observation::Starting, Residence::Coming { .. } | Residence::Asking(_) | Residence::Loading { .. })
            | (Observation::Loading | Observation::Ready | Observation::Unhealthy, Residence::Leaving)
            | (Observation::Loading, Residence::Loading { .. })
            | (Observation::Ready, Residence::Ready { .. }) => return,
            (Observation::Starting, _) => Residence::Coming { since: now },
            (Observation::Loading, _) => Residence::Loading { since: now },
            (Observation::Ready, Residence::Unwell { since }) => Residence::Ready { since: *since },
            (Observation::Ready, residence) => {
                if let Residence::Loading { since } = residence
                    && *since == member.permitted_at
                {
                    member.load_time = Some(smoothed(member.load_time, now.saturating_sub(*since)));
                }
                member.last_used = now;
                // Another server is not judged by the one before.
                member.shunned_until = Moment::ZERO;
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

    /// Prefers others that serve the same for so long; no longer, when that is no time at all.
    pub fn shun(&mut self, id: MemberId, pause: Duration, now: Moment) {
        if let Some(member) = self.members.get_mut(id) {
            member.shunned_until = if pause.is_zero() { Moment::ZERO } else { now.saturating_add(pause) };
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
        let idle = self.members.iter().filter_map(|(_, member)| member.idle_end(now));
        let contended = self.somebody_asks();
        let turns = self.members.iter().filter(|_| contended).filter_map(|(_, member)| {
            let ready_since = member.ready_since()?;
            let residency = member.residency_end(self.rules.residency).filter(|end| *end > now);
            [residency, Some(ready_since + self.rules.turn).filter(|end| *end > now)].into_iter().flatten().min()
        });
        let waits = self.asking().filter_map(|(_, asking)| Some(asking.since + self.rules.turn).filter(|end| *end > now));
        let awaited = self.queues.iter().flat_map(|queue| queue.target.iter()).filter_map(|id| self.members.get(*id));
        let shunned = awaited.filter(|member| member.is_shunned(now)).map(|member| member.shunned_until);
        deadlines.chain(idle).chain(turns).chain(waits).chain(shunned).chain(self.next_look).min()
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

    /// Returns what instances may hold together.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
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
}

fn smoothed(before: Option<Duration>, sample: Duration) -> Duration {
    before.map_or(sample, |before| (before * 7 + sample) / 8)
}

#[cfg(test)]
mod tests;

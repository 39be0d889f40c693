//! Everything that may have become possible is done: who waited too long is told so, who can be served is let in, what is
//! idle is unloaded, what is needed is summoned.

use std::time::Duration;

use super::member::{Asking, Member, Residence};
use super::terms::Rank;
use super::{Balance, Effect, Eviction, MemberId, Moment, Policy, Refusal, Ticket};

/// How long an instance that found no room beside others of its kind is not summoned for that again.
pub(super) const NEXT_EXPANSION: Duration = Duration::from_secs(30);

impl Policy {
    /// Everything that may have become possible is done.
    pub(super) fn pump(&mut self, now: Moment) {
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
                expired.extend(queue.take_expired(now).into_iter().map(|waiter| (index, waiter.ticket, waiter.since)));
            }
        }
        for (index, ticket, since) in expired {
            let wait = self.estimate(&self.queues[index].target, self.queues[index].len(), now);
            let refusal = Refusal::WaitedTooLong { waited: now.saturating_sub(since), wait };
            self.refuse(ticket, refusal);
        }
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.counters.refused += 1;
        self.effects.push(Effect::Refuse { ticket, refusal });
    }

    /// Lets in whoever waits for an instance that has a place, the best claim first.
    pub(super) fn grant(&mut self, now: Moment) {
        let ageing = self.rules.ageing;
        loop {
            let next = self
                .queues
                .iter()
                .enumerate()
                .filter_map(|(index, queue)| Some((queue.rank(ageing)?, index, self.with_place(&queue.target, now)?)))
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

    pub(super) fn begin(&mut self, id: MemberId, now: Moment) {
        self.next_turn += 1;
        let turn = self.next_turn;
        if let Some(member) = self.members.get_mut(id) {
            member.in_flight += 1;
            member.last_used = now;
            member.last_turn = turn;
        }
    }

    /// Finds the one to serve a request now. One that is shunned is taken only where no other one will ever serve it.
    pub(super) fn with_place(&self, target: &[MemberId], now: Moment) -> Option<MemberId> {
        let members = || target.iter().filter_map(|id| self.members.get(*id));
        let has_refuge = members().any(|member| member.is_shunned(now)) && members().any(|member| member.is_refuge(now));
        let is_open = |member: &&Member| member.has_place() && !(has_refuge && member.is_shunned(now));
        let open = target.iter().filter_map(|id| Some((*id, self.members.get(*id).filter(is_open)?)));
        match self.rules.balance {
            Balance::LeastBusy => open.min_by_key(|(_, member)| (member.in_flight, member.last_turn)),
            Balance::RoundRobin => open.min_by_key(|(_, member)| member.last_turn),
        }
        .map(|(id, _)| id)
    }

    pub(super) fn is_promising(&self, target: &[MemberId]) -> bool {
        target.iter().filter_map(|id| self.members.get(*id)).any(Member::is_promising)
    }

    /// Turns away those who wait for nothing but instances that cannot run.
    pub(super) fn refuse_hopeless(&mut self) {
        for index in 0..self.queues.len() {
            if !self.is_promising(&self.queues[index].target) {
                for waiter in self.queues[index].take_all() {
                    self.refuse(waiter.ticket, Refusal::NotServing);
                }
            }
        }
    }

    fn unload_idle(&mut self, now: Moment) {
        let idle: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| member.idle_end(now).is_some_and(|end| end <= now)).map(|(id, _)| id).collect();
        for id in idle {
            self.evict(id, Eviction::Idle);
        }
    }

    pub(super) fn evict(&mut self, id: MemberId, why: Eviction) {
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

    pub(super) fn asking(&self) -> impl Iterator<Item = (MemberId, &Asking)> {
        self.members.iter().filter_map(|(id, member)| match &member.residence {
            Residence::Asking(asking) => Some((id, asking)),
            _ => None,
        })
    }

    pub(super) fn somebody_asks(&self) -> bool {
        self.asking().next().is_some()
    }

    /// Returns the best claim of those who wait for an instance.
    pub(super) fn waiting_rank(&self, id: MemberId) -> Option<Rank> {
        self.queues.iter().filter(|queue| queue.target.contains(&id)).filter_map(|queue| queue.rank(self.rules.ageing)).min()
    }

    /// Estimates how long one more request would wait.
    pub(super) fn estimate(&self, target: &[MemberId], waiting: usize, now: Moment) -> Option<Duration> {
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

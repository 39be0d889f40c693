//! Gives room to those who ask for it, and has others unloaded for them.

use std::time::Duration;

use super::member::{Member, Residence, Trouble};
use super::pump::NEXT_EXPANSION;
use super::room::{self, Ledger, PlanRequest, Readiness};
use super::terms::Rank;
use super::{Effect, Eviction, MemberId, MemoryNeed, MemoryPool, Moment, NoRoom, Policy, Refusal};

/// How long memory that should be free may not be: then the instance starts all the same.
pub(super) const LONGEST_SHORTAGE: Duration = Duration::from_secs(5);
/// How soon memory that should be free is looked at again.
const NEXT_LOOK: Duration = Duration::from_millis(50);

impl Policy {
    /// Gives room to those who ask for it, the best claim first, and has others unloaded for them.
    pub(super) fn give_room(&mut self, now: Moment) {
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
                    self.plan_for(&Demand { id, rank, need: &need }, &mut projected, &mut promised, now);
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
    fn plan_for(&mut self, demand: &Demand<'_>, projected: &mut Ledger, promised: &mut Promised, now: Moment) {
        let Demand { id, rank, need } = *demand;
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

    pub(super) fn call_off(&mut self, id: MemberId) {
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
                for waiter in self.queues[index].take_all() {
                    self.refuse(waiter.ticket, Refusal::NoRoom(reason.clone()));
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

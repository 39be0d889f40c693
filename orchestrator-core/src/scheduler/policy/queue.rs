//! The requests that wait for one model: bounded, fair between clients, priorities with ageing.
//!
//! A [`Lane`] holds the requests of one client with one priority, oldest first. The lane that is served next is the
//! one with the highest priority; a lane gains one step of priority for each `ageing` in which it was not served, so
//! that none starves; among equals the one that was not served for the longest time is next, so that a client that
//! asks a lot does not push the others back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::terms::Rank;
use super::{MemberId, Moment, Ticket};
use crate::runtime::RuntimeKind;

/// Who asks, as far as fairness is concerned. Two requests with the same number come from the same client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClientId(pub u64);

/// One request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) client: ClientId,
    pub(super) priority: i32,
    pub(super) since: Moment,
    pub(super) deadline: Moment,
    pub(super) follows: Option<RuntimeKind>,
}

#[derive(Debug)]
struct Lane {
    client: ClientId,
    priority: i32,
    /// Never empty.
    waiters: VecDeque<Waiter>,
    last_served: Moment,
}

impl Lane {
    /// Since when it could have been served and was not.
    fn neglected_since(&self) -> Moment {
        self.waiters.front().map_or(self.last_served, |head| head.since.max(self.last_served))
    }

    fn aged_priority(&self, now: Moment, ageing: Duration) -> i64 {
        let steps = now.saturating_sub(self.neglected_since()).as_nanos() / ageing.as_nanos().max(1);
        i64::from(self.priority).saturating_add(i64::try_from(steps).unwrap_or(i64::MAX))
    }
}

/// The requests that wait for one of the members of a target.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) target: Arc<[MemberId]>,
    lanes: Vec<Lane>,
    len: usize,
}

impl Queue {
    pub(super) fn new(target: Arc<[MemberId]>) -> Self {
        Self { target, lanes: Vec::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        self.len += 1;
        let lane = self.lanes.iter_mut().find(|lane| lane.client == waiter.client && lane.priority == waiter.priority);
        match lane {
            Some(lane) => lane.waiters.push_back(waiter),
            None => self.lanes.push(Lane {
                client: waiter.client,
                priority: waiter.priority,
                waiters: VecDeque::from([waiter]),
                last_served: Moment::ZERO,
            }),
        }
    }

    /// Takes the request that is served next.
    pub(super) fn pop(&mut self, now: Moment, ageing: Duration) -> Option<Waiter> {
        let by_turn = |lane: &Lane| (std::cmp::Reverse(lane.aged_priority(now, ageing)), lane.neglected_since());
        let (index, _) = self.lanes.iter().enumerate().min_by_key(|(_, lane)| by_turn(lane))?;
        let lane = &mut self.lanes[index];
        let waiter = lane.waiters.pop_front()?;
        lane.last_served = now;
        self.len -= 1;
        if lane.waiters.is_empty() {
            self.lanes.swap_remove(index);
        }
        Some(waiter)
    }

    /// Takes out one request. Returns whether it was there.
    pub(super) fn remove(&mut self, ticket: Ticket) -> bool {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(place) = lane.waiters.iter().position(|waiter| waiter.ticket == ticket) {
                lane.waiters.remove(place);
                self.len -= 1;
                if lane.waiters.is_empty() {
                    self.lanes.swap_remove(index);
                }
                return true;
            }
        }
        false
    }

    /// Takes out every request whose time is over.
    pub(super) fn take_expired(&mut self, now: Moment) -> Vec<Waiter> {
        self.take_where(|waiter| waiter.deadline <= now)
    }

    /// Takes out every request.
    pub(super) fn take_all(&mut self) -> Vec<Waiter> {
        self.take_where(|_| true)
    }

    /// Takes out every request that asks for the active instance of a kind of engine.
    pub(super) fn take_followers(&mut self, runtime: RuntimeKind) -> Vec<Waiter> {
        self.take_where(|waiter| waiter.follows == Some(runtime))
    }

    fn take_where(&mut self, is_taken: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let mut taken = Vec::new();
        for lane in &mut self.lanes {
            lane.waiters.retain(|waiter| {
                let take = is_taken(waiter);
                if take {
                    taken.push(*waiter);
                }
                !take
            });
        }
        self.lanes.retain(|lane| !lane.waiters.is_empty());
        self.len -= taken.len();
        taken
    }

    /// Returns when the first request's time is over.
    pub(super) fn first_deadline(&self) -> Option<Moment> {
        self.lanes.iter().filter_map(|lane| lane.waiters.front()).map(|waiter| waiter.deadline).min()
    }

    /// Returns the rank of the request that has the best claim, among those of all models.
    pub(super) fn rank(&self, ageing: Duration) -> Option<Rank> {
        self.lanes.iter().filter_map(|lane| lane.waiters.front()).map(|waiter| Rank::of(waiter.since, waiter.priority, ageing)).min()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

    use super::*;

    const AGEING: Duration = Duration::from_secs(10);

    fn queue(waiters: &[(u64, u64, i32, u64)]) -> Queue {
        let mut queue = Queue::new(Arc::from([]));
        for &(ticket, client, priority, since) in waiters {
            let (ticket, client, since) = (Ticket(ticket), ClientId(client), Moment::from_secs(since));
            queue.push(Waiter { ticket, client, priority, since, deadline: since + Duration::from_mins(1), follows: None });
        }
        queue
    }

    fn order(queue: &mut Queue, mut now: u64) -> Vec<u64> {
        let mut order = Vec::new();
        while let Some(waiter) = queue.pop(Moment::from_secs(now), AGEING) {
            order.push(waiter.ticket.0);
            now += 1;
        }
        order
    }

    #[test]
    fn one_client_is_served_in_the_order_it_asked() {
        assert_eq!(order(&mut queue(&[(1, 7, 0, 0), (2, 7, 0, 0), (3, 7, 0, 1)]), 2), [1, 2, 3]);
    }

    #[test]
    fn a_client_that_asks_a_lot_takes_turns_with_the_others() {
        let mut crowd = queue(&[(1, 7, 0, 0), (2, 7, 0, 0), (3, 7, 0, 0), (4, 7, 0, 0), (5, 8, 0, 1), (6, 8, 0, 1)]);
        assert_eq!(order(&mut crowd, 2), [1, 5, 2, 6, 3, 4]);
    }

    #[test]
    fn higher_priorities_come_first() {
        assert_eq!(order(&mut queue(&[(1, 7, 0, 0), (2, 8, 5, 1), (3, 9, -1, 0)]), 2), [2, 1, 3]);
    }

    #[test]
    fn whoever_waits_gains_priority() {
        let mut queue = queue(&[(1, 7, 0, 0)]);
        for second in 0..40 {
            let waiter = Waiter {
                ticket: Ticket(100 + second),
                client: ClientId(second),
                priority: 3,
                since: Moment::from_secs(second),
                deadline: Moment::MAX,
                follows: None,
            };
            queue.push(waiter);
            if queue.pop(Moment::from_secs(second), AGEING).unwrap().ticket == Ticket(1) {
                assert_eq!(second, 30, "after three steps it is as good as the others, and has waited longer");
                return;
            }
        }
        panic!("it starved");
    }

    #[test]
    fn those_whose_time_is_over_are_taken_out() {
        let mut queue = queue(&[(1, 7, 0, 0), (2, 7, 0, 30), (3, 8, 0, 5)]);
        assert_eq!(queue.first_deadline(), Some(Moment::from_mins(1)));
        let mut expired: Vec<_> = queue.take_expired(Moment::from_secs(65)).iter().map(|waiter| (waiter.ticket, waiter.since)).collect();
        expired.sort();
        assert_eq!(expired, [(Ticket(1), Moment::ZERO), (Ticket(3), Moment::from_secs(5))]);
        assert_eq!(queue.len(), 1);
        assert!(queue.remove(Ticket(2)));
        assert!(!queue.remove(Ticket(2)));
        assert!(queue.is_empty());
    }
}
